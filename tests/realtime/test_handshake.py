"""Who is let through the door: floods, foreign pages and what is no handshake."""

import asyncio
import json
from typing import Any

import pytest

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


async def knock(street: Street, **headers: str) -> str:
    """The whole answer to a handshake, up to its end or the end of the upgrade."""
    host, _, port = street.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{name}: {value}" for name, value in {**HANDSHAKE, **headers}.items()]
    asked = [f"GET {BASE}ws/?live_id=1 HTTP/1.1", f"Host: {host}:{port}", *lines]
    writer.write("\r\n".join([*asked, "", ""]).encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    _, _, length = answer.lower().partition(b"content-length:")
    if length:
        answer += await reader.readexactly(int(length.split(b"\r\n")[0]))
    writer.close()
    await writer.wait_closed()
    return answer.decode()


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
@pytest.mark.parametrize("key", ["", "short", "x" * 24, "ZGVzdA==", "dGhlIHNhbXBsZSBub25jZQ"])
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
