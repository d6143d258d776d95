"""Who is let through the door: floods, foreign pages and what is no handshake."""

import asyncio
import json
import logging
import socket
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from server import Server
from tests.phones import BASE, Street
from tests.realtime.wire import PING, PONG, TEXT, dial

PER_SECOND = 5
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"limits": {"handshakes_per_second": PER_SECOND}}


async def knock(
    street: Street,
    *,
    method: str = "GET",
    version: str = "1.1",
    before: str = "",
    **headers: str,
) -> str:
    """The whole answer to a handshake, up to its end or the end of the upgrade. `before` is a path
    that is asked for on the same connection."""
    host, _, port = street.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    if before:
        writer.write(f"GET {before} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        await _answer(reader)
    lines = [f"{name}: {value}" for name, value in {**HANDSHAKE, **headers}.items()]
    asked = [f"{method} {BASE}ws/?live_id=1 HTTP/{version}", f"Host: {host}:{port}", *lines]
    writer.write("\r\n".join([*asked, "", ""]).encode())
    answer = await _answer(reader)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    answer = await reader.readuntil(b"\r\n\r\n")
    _, _, length = answer.lower().partition(b"content-length:")
    if length:
        answer += await reader.readexactly(int(length.split(b"\r\n")[0]))
    return answer


@pytest.mark.gen_test(timeout=20)
async def test_a_flood_of_handshakes_is_told_to_wait(street: Street, server: Server) -> None:
    answers = await asyncio.gather(*(knock(street) for _ in range(4 * PER_SECOND)))
    let_in = [text for text in answers if text.startswith("HTTP/1.1 101 ")]
    refused = [text for text in answers if text.startswith("HTTP/1.1 429 ")]
    assert len(let_in) + len(refused) == len(answers)
    assert PER_SECOND <= len(let_in) <= 3 * PER_SECOND, "at most three seconds have begun"
    assert refused
    for text in refused:
        head, _, body = text.partition("\r\n\r\n")
        assert "\r\nRetry-After: 1\r\n" in head + "\r\n"
        assert json.loads(body)["code"] == "too_many"
        assert json.loads(body)["detail"]


@pytest.mark.gen_test(timeout=20)
async def test_after_the_flood_people_come_in_again(street: Street) -> None:
    await asyncio.gather(*(knock(street) for _ in range(4 * PER_SECOND)))
    while not (await knock(street)).startswith("HTTP/1.1 101 "):
        await asyncio.sleep(0.05)


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    "key", ["", "short", "x" * 24, "ZGVzdA==", "dGhlIHNhbXBsZSBub25jZQ", "é" * 24]
)
async def test_a_key_that_is_none_gets_the_envelope(street: Street, key: str) -> None:
    answer = await knock(street, **{"Sec-WebSocket-Key": key})
    assert answer.startswith("HTTP/1.1 400 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "bad_request"


@pytest.mark.gen_test(timeout=20)
async def test_a_foreign_origin_gets_the_envelope(street: Street) -> None:
    answer = await knock(street, Origin="https://evil.example")
    assert answer.startswith("HTTP/1.1 403 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "not_allowed"


@pytest.mark.gen_test(timeout=20)
async def test_an_upgrade_offers_no_extension(street: Street) -> None:
    answer = await knock(street, **{"Sec-WebSocket-Extensions": "permessage-deflate"})
    assert answer.startswith("HTTP/1.1 101 ")
    assert "extensions" not in answer.lower()


@pytest.mark.gen_test(timeout=20)
async def test_frames_in_the_same_packet_as_the_handshake_are_heard(street: Street) -> None:
    """A client in a hurry need not wait for the 101."""
    host = await street.host()
    wire = await dial(host, at_once=[(TEXT, b'{"type":"ping","n":9}'), (PING, b"hi")])
    answers = [found for _ in range(3) if (found := await wire.next())]
    assert (PONG, b"hi") in answers
    said = [json.loads(data)["type"] for opcode, data in answers if opcode == TEXT]
    assert sorted(said) == ["pong", "snapshot"]
    await wire.close()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    "how",
    [
        {"version": "1.0"},
        {"Content-Length": "2"},
        {"Transfer-Encoding": "chunked"},
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "8"},
    ],
)
async def test_what_is_no_handshake_gets_the_envelope(street: Street, how: dict[str, str]) -> None:
    body = {"Content-Length": "\r\n\r\n{}", "Transfer-Encoding": "\r\n\r\n0\r\n"}
    ending = {name: value + body.get(name, "") for name, value in how.items()}
    answer = await knock(street, **ending)  # type: ignore[arg-type]
    assert answer.startswith("HTTP/1.1 400 "), answer
    assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "bad_request"


@pytest.mark.gen_test(timeout=20)
async def test_another_method_gets_the_envelope(street: Street) -> None:
    answer = await knock(street, method="POST")
    assert answer.startswith("HTTP/1.1 405 ")
    assert "\r\nAllow: GET\r\n" in answer


@pytest.mark.gen_test(timeout=20)
async def test_a_connection_that_has_asked_before_may_become_a_socket(street: Street) -> None:
    answer = await knock(street, before="/healthz")
    assert answer.startswith("HTTP/1.1 101 ")


@pytest.mark.gen_test(timeout=20)
async def test_whoever_comes_while_the_server_drains_is_sent_elsewhere(
    street: Street, server: Server
) -> None:
    server.parts.draining = True
    answer = await knock(street)
    assert answer.startswith("HTTP/1.1 503 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["code"] == "away"


@pytest.mark.gen_test(timeout=20)
async def test_a_socket_bears_the_number_of_its_handshake(street: Street) -> None:
    host = await street.host()
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with connect(
            street.address.replace("http", "ws", 1) + BASE + f"ws/?live_id={host.live_id}",
            additional_headers={
                "Authorization": f"QLiveToken {host.token}",
                "X-Request-Id": "phone-7",
            },
        ) as heard:
            await heard.recv()
    joined = [line for line in lines if line["event"] == "socket_joined"]
    assert [line["request_id"] for line in joined] == ["phone-7"]


@pytest.mark.gen_test(timeout=20)
async def test_a_flood_is_that_of_one_address_behind_the_proxy(street: Street) -> None:
    crowd = [knock(street, **{"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(4 * PER_SECOND)]
    assert all(text.startswith("HTTP/1.1 101 ") for text in await asyncio.gather(*crowd))


@pytest.mark.gen_test(timeout=20)
async def test_whoever_hangs_up_with_the_handshake_is_no_error(
    street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    """Sent and shut in one go, while the server does something else."""
    host, _, port = street.address.removeprefix("http://").partition(":")
    for _ in range(20):
        caller = socket.create_connection((host, int(port)))
        await street.ask("GET", "/healthz")  # by then the connection is accepted
        lines = [f"{name}: {value}" for name, value in HANDSHAKE.items()]
        asked = [f"GET {BASE}ws/?live_id=1 HTTP/1.1", f"Host: {host}", *lines]
        caller.send("\r\n".join([*asked, "", ""]).encode())
        caller.close()
        await street.ask("GET", "/healthz")
    assert not [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
