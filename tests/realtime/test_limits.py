import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from server import Server
from tests.phones import Phone, Socket, Street
from tests.realtime.listening import farewell, parted, until
from tests.realtime.wire import BINARY, CLOSE, FIN, KEY, PING, PONG, TEXT, dial, framed

FRAME_BYTES = 1000


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"limits": {"frame_bytes": FRAME_BYTES, "frames_per_second": 10}}


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever the test's people send, our log says nothing of errors."""
    with capture_logs() as lines:
        yield
    assert not [line for line in lines if line["log_level"] in ("error", "critical")]
    assert not [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]


async def a_socket(street: Street) -> tuple[Phone, Socket]:
    host = await street.host()
    socket = await host.connect()
    assert (await socket.frame())["type"] == "snapshot"
    return host, socket


@pytest.mark.gen_test(timeout=20)
async def test_a_frame_too_large_closes_with_1009(street: Street, quiet: None) -> None:
    _, socket = await a_socket(street)
    await socket.send(type="ping", n=0)
    assert (await socket.next("pong"))["n"] == 0
    await socket.connection.send("x" * (FRAME_BYTES + 1))
    assert await socket.closed() == 1009


@pytest.mark.gen_test(timeout=20)
async def test_a_frame_in_pieces_counts_as_one(street: Street, quiet: None) -> None:
    _, socket = await a_socket(street)
    await socket.connection.send(["x" * 600, "y" * 600])
    assert await socket.closed() == 1009


@pytest.mark.gen_test(timeout=20)
async def test_whoever_talks_too_fast_is_told(street: Street, quiet: None) -> None:
    _, socket = await a_socket(street)
    for n in range(30):
        await socket.send(type="ping", n=n)
    bye, code = await farewell(socket)
    assert (bye["code"], code, bye["reconnect"]) == (4029, 4029, True)
    assert bye["retry_ms"] >= 100


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    "bad",
    [
        *("", "{", "7", "[]", "null", '{"type":"sing"}', '{"type":"ping"}', "[" * 900),
        *('{"type":"ping","n":"\\ud800"}', '{"type":"ping","n":NaN}', '{"type":"ping","n":1e999}'),
        *('{"type":["ping"],"n":1}', '{"type":"auth","token":"again"}', b"\x00\xff", b"{}"),
    ],
)
async def test_the_third_bad_frame_is_a_goodbye(
    street: Street, quiet: None, bad: str | bytes
) -> None:
    _, socket = await a_socket(street)
    await socket.connection.send(bad)
    await socket.connection.send(bad)
    await socket.send(type="ping", n=1)
    assert (await socket.next("pong"))["n"] == 1
    await socket.connection.send(bad)
    assert await parted(socket) == 4500


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("n", [0, 7, -1, 1690000000123])
async def test_a_ping_is_echoed(street: Street, n: int) -> None:
    _, socket = await a_socket(street)
    await socket.send(type="ping", n=n)
    assert await socket.next() == {"type": "pong", "n": n}


@pytest.mark.gen_test(timeout=20)
async def test_a_message_in_pieces_is_one_message(street: Street) -> None:
    _, socket = await a_socket(street)
    await socket.connection.send(['{"type":', '"ping",', '"n":5}'])
    assert await socket.next("pong") == {"type": "pong", "n": 5}


@pytest.mark.gen_test(timeout=20)
async def test_a_ping_between_the_pieces_is_answered(street: Street) -> None:
    wire = await dial(await street.host())
    await wire.send(TEXT, b'{"type":"pi', head=0)
    await wire.send(PING, b"hello")
    await wire.send(0, b'ng","n":5}')
    assert await wire.next() == (PONG, b"hello")
    assert await wire.next() == (TEXT, b'{"type":"pong","n":5}')
    await wire.close()


PROTOCOL, PAYLOAD, TOO_BIG = 1002, 1007, 1009
WRONG: dict[str, tuple[bytes, int]] = {
    "not masked": (b"\x81\x02{}", PROTOCOL),
    "masked with another key": (b"\x81\x82" + KEY + b"\xff\xff", PAYLOAD),
    "a reserved bit": (framed(TEXT, b"{}", head=FIN | 0x40), PROTOCOL),
    "the second reserved bit": (framed(TEXT, b"{}", head=FIN | 0x20), PROTOCOL),
    "another reserved bit": (framed(TEXT, b"{}", head=FIN | 0x10), PROTOCOL),
    "an opcode nobody knows": (framed(3, b"{}"), PROTOCOL),
    "a control opcode nobody knows": (framed(11, b""), PROTOCOL),
    "not UTF-8": (framed(TEXT, b"\xff\xfe{}"), PAYLOAD),
    "not UTF-8 in pieces": (framed(TEXT, b"\xe7", head=0) + framed(0, b"{}"), PAYLOAD),
    "a fragmented ping": (framed(PING, b"", head=0), PROTOCOL),
    "a long ping": (framed(PING, b"x" * 126), PROTOCOL),
    "a piece of nothing": (framed(0, b"{}"), PROTOCOL),
    "a message within a message": (
        framed(TEXT, b"{", head=0) + framed(TEXT, b"{}"),
        PROTOCOL,
    ),
    "a close reason that is not UTF-8": (framed(CLOSE, b"\x03\xe8\xff\xfe"), PAYLOAD),
    "a close of one byte": (framed(CLOSE, b"\x03"), PROTOCOL),
    "a close code that is none": (framed(CLOSE, b"\x00\x07"), PROTOCOL),
    "too large": (framed(TEXT, b"x" * (FRAME_BYTES + 1)), TOO_BIG),
    "too large, of which only the header comes": (b"\x81\xff" + b"\x00" * 4 + b"\x7f" * 4, TOO_BIG),
    "a length out of range": (b"\x81\xff" + b"\xff" * 8, PROTOCOL),
    "too large in pieces": (
        framed(TEXT, b"x" * FRAME_BYTES, head=0) + framed(0, b"x"),
        TOO_BIG,
    ),
}


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("name", WRONG)
async def test_bytes_that_are_no_websocket_end_the_connection_and_say_why(
    street: Street, server: Server, quiet: None, name: str
) -> None:
    wire = await dial(await street.host())
    data, code = WRONG[name]
    wire.writer.write(data)
    answers = [it for it in await wire.rest() if b'"audience"' not in it[1]]
    assert [opcode for opcode, _ in answers] == [CLOSE], answers
    assert int.from_bytes(answers[0][1][:2], "big") == code
    await until(lambda: not server.parts.hub.sockets)
    await wire.close()


@pytest.mark.gen_test(timeout=20)
async def test_what_was_right_before_the_wrong_is_answered(street: Street, quiet: None) -> None:
    wire = await dial(await street.host())
    wire.writer.write(framed(TEXT, b'{"type":"ping","n":1}') + b"\x81\x02{}")
    assert await wire.next() == (TEXT, b'{"type":"pong","n":1}')
    answer = await wire.next()
    assert answer is not None
    assert (answer[0], int.from_bytes(answer[1][:2], "big")) == (CLOSE, PROTOCOL)
    await wire.close()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    ("sent", "answered"),
    [(b"", 1000), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001), (b"\x0f\xa0", 4000)],
)
async def test_a_close_is_answered_and_the_connection_ended(
    street: Street, server: Server, quiet: None, sent: bytes, answered: int
) -> None:
    wire = await dial(await street.host())
    await wire.send(CLOSE, sent)
    answers = [it for it in await wire.rest() if b'"audience"' not in it[1]]
    assert [(op, int.from_bytes(data[:2], "big")) for op, data in answers] == [(CLOSE, answered)]
    await until(lambda: not server.parts.hub.open)
    await wire.close()


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_pings_and_pongs_count_as_frames(street: Street, quiet: None, opcode: int) -> None:
    wire = await dial(await street.host())
    wire.writer.write(framed(opcode, b"") * 40)
    said = [json.loads(data) for kind, data in await wire.rest() if kind == TEXT]
    byes = [frame["code"] for frame in said if frame["type"] == "bye"]
    assert byes == [4029]
    await wire.close()


@pytest.mark.gen_test(timeout=20)
async def test_as_many_frames_as_may_be_are_all_answered(street: Street, quiet: None) -> None:
    _, socket = await a_socket(street)
    for n in range(10):
        await socket.send(type="ping", n=n)
    assert [(await socket.next("pong"))["n"] for _ in range(10)] == list(range(10))


@pytest.mark.gen_test(timeout=20)
async def test_a_connection_that_is_cut_leaves_no_socket(
    street: Street, server: Server, quiet: None
) -> None:
    wire = await dial(await street.host())
    assert server.parts.hub.sockets == 1
    wire.writer.write(framed(BINARY, b"half of a fra")[:-5])
    wire.writer.transport.abort()
    await wire.close()
    await until(lambda: not server.parts.hub.channels)


@pytest.mark.gen_test(timeout=20)
async def test_nothing_is_said_after_the_close(street: Street, quiet: None) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    wire = await dial(host)
    for _ in range(3):
        await wire.send(TEXT, b"bad")
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await wire.say(type="ping", n=1)
    await wire.send(CLOSE, b"\x11\x94")
    said = [(op, data) for op, data in await wire.rest() if b'"audience"' not in data]
    assert [opcode for opcode, _ in said] == [TEXT, CLOSE]
    assert json.loads(said[0][1])["type"] == "bye"
    await wire.close()


@pytest.mark.gen_test(timeout=20)
async def test_the_end_of_the_live_is_heard_and_then_the_goodbye(street: Street) -> None:
    host, socket = await a_socket(street)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "host"
    assert await parted(socket) == 4510


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(
    ("call", "code"), [("qlive_room/leave_room/", 4504), ("qlive_user/logout/", 4401)]
)
async def test_whoever_leaves_hears_nothing_more(street: Street, call: str, code: int) -> None:
    host, listener = await a_socket(street)
    bert = await street.guest("bert", 1, host.live_id)
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    socket = await bert.connect()
    assert (await socket.frame())["seq"] == 1
    (await bert.get(call, live_id=host.live_id)).ok()
    assert await parted(socket) == code
    assert (await listener.next("micro_apply"))["seq"] == 1
    assert (await listener.next("micro_refuse"))["data"]["reason"] == "left"
    assert await parted(await bert.connect()) == code
