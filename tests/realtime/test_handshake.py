"""Who is let through the door: floods, foreign pages and what is no handshake."""

import asyncio
import json
import logging
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from websockets.asyncio.client import connect

from handlers.handshakes import Handshakes
from handlers.parts import Parts
from handlers.socket import Handshake
from realtime.opening import Since
from rooms.refusals import BadRequest, NotAllowed, Refusal
from server import Server
from tests.phones import BASE, Street
from tests.realtime.wire import PING, PONG, TEXT, dial

PER_SECOND = 5
FRIEND = "https://friend.example"
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


# ---- the rules, without a server


def request(uri: str = f"{BASE}ws/?live_id=1", version: str = "1.1", **headers: str) -> Any:
    """A request as Tornado reads it; a header that is "" is left out."""
    sent = {"Host": "qlive.example", **HANDSHAKE, **headers}
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", uri, f"HTTP/{version}"),
        headers=HTTPHeaders({name: value for name, value in sent.items() if value}),
        connection=SimpleNamespace(context=SimpleNamespace(remote_ip="10.0.0.1", protocol="http")),
    )


def refusal(of: Any, *allowed: str, per_second: int = 0) -> Refusal | None:
    settings = SimpleNamespace(
        server=SimpleNamespace(allowed_origins=allowed, trusted_proxies=()),
    )
    handshakes = Handshakes(per_second)
    parts: Any = SimpleNamespace(settings=settings, draining=False, handshakes=handshakes)
    return Handshake(parts, of).refusal()


NOT_BASE64_OF_16_BYTES = ["short", "x" * 24, "ZGVzdA==", "dGhlIHNhbXBsZSBub25jZQ", "é" * 24]


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: ""} for name in HANDSHAKE),
        *({"Sec-WebSocket-Key": key} for key in NOT_BASE64_OF_16_BYTES),
        {"version": "1.0"},
        {"Upgrade": "h2c"},
        {"Connection": "close"},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "8"},
        {"Content-Length": "2"},
        {"Transfer-Encoding": "chunked"},
    ],
    ids=str,
)
def test_what_is_no_handshake_is_refused(wrong: dict[str, str]) -> None:
    assert isinstance(refusal(request(**wrong)), BadRequest)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Connection": "Upgrade"},
        {"Upgrade": "WebSocket"},
        {"Content-Length": "0"},
        {"Sec-WebSocket-Extensions": "permessage-deflate"},
        {"Origin": "http://qlive.example"},
        {"Origin": "https://qlive.example"},
        {"Origin": FRIEND},
    ],
    ids=str,
)
def test_a_handshake_from_here_or_from_an_allowed_page_is_accepted(
    headers: dict[str, str],
) -> None:
    assert refusal(request(**headers), FRIEND) is None


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", FRIEND + ":81", "http://[", "qlive.example"]
)
def test_a_foreign_page_is_refused(origin: str) -> None:
    assert isinstance(refusal(request(Origin=origin), FRIEND), NotAllowed)


@pytest.mark.parametrize("live_id", ["0", "-1", "abc", "", "9" * 40, "%00", "1%201", "%FF"])
def test_a_room_that_is_none_has_the_number_of_no_room(live_id: str) -> None:
    asked = request(f"{BASE}ws/?live_id={live_id}")
    assert Handshake(cast("Parts", None), asked)._live_id() == 0


@pytest.mark.parametrize("since", ["abc", "x", "-1", "1.0", "1e3", "9" * 30, "%F0%9F%98%80", "%FF"])
def test_a_position_that_is_no_number_is_one_of_no_life(since: str) -> None:
    asked = request(f"{BASE}ws/?live_id=1&epoch=e&since={since}")
    assert Handshake(cast("Parts", None), asked)._since() == Since("", 0)


def test_a_position_is_an_epoch_and_a_number() -> None:
    asked = request(f"{BASE}ws/?live_id=1&epoch=e&since=7")
    assert Handshake(cast("Parts", None), asked)._since() == Since("e", 7)
    assert Handshake(cast("Parts", None), request())._since() is None


# ---- from outside


@pytest.mark.gen_test(timeout=20)
async def test_a_flood_of_handshakes_is_told_to_wait_and_comes_in_later(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.handshakes.time", SimpleNamespace(monotonic=lambda: 7.9))
    answers = await asyncio.gather(*(knock(street) for _ in range(4 * PER_SECOND)))
    let_in = [text for text in answers if text.startswith("HTTP/1.1 101 ")]
    refused = [text for text in answers if text.startswith("HTTP/1.1 429 ")]
    assert (len(let_in), len(refused)) == (PER_SECOND, 3 * PER_SECOND)
    for text in refused:
        head, _, body = text.partition("\r\n\r\n")
        assert "\r\nRetry-After: 1\r\n" in head + "\r\n"
        assert json.loads(body)["code"] == "too_many"
        assert json.loads(body)["detail"]
    monkeypatch.setattr("handlers.handshakes.time", SimpleNamespace(monotonic=lambda: 8.1))
    assert (await knock(street)).startswith("HTTP/1.1 101 ")


@pytest.mark.gen_test(timeout=20)
async def test_what_is_not_accepted_gets_the_envelope(street: Street, server: Server) -> None:
    async def told(**how: str) -> tuple[int, str]:
        head, _, body = (await knock(street, **how)).partition("\r\n\r\n")
        said = json.loads(body)
        assert said["detail"]
        return int(head.split()[1]), said["code"]

    assert await told(version="1.0") == (400, "bad_request")
    assert await told(**{"Sec-WebSocket-Key": "short"}) == (400, "bad_request")
    assert await told(**{"Content-Length": "2\r\n\r\n{}"}) == (400, "bad_request")
    assert await told(**{"Transfer-Encoding": "chunked\r\n\r\n0\r\n"}) == (400, "bad_request")
    assert await told(Origin="https://evil.example") == (403, "not_allowed")
    other_method = await knock(street, method="POST")
    assert other_method.startswith("HTTP/1.1 405 ")
    assert "\r\nAllow: GET\r\n" in other_method
    server.parts.draining = True
    assert await told() == (503, "away")


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
async def test_a_connection_that_has_asked_before_may_become_a_socket(street: Street) -> None:
    offered = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    answer = await knock(street, before="/healthz", **offered)
    assert answer.startswith("HTTP/1.1 101 ")
    assert "extensions" not in answer.lower(), "none is taken"


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
