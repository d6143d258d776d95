import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from server import Server
from tests.phones import Phone, Socket, Street
from tests.realtime.listening import farewell, parted, until
from tests.realtime.wire import BINARY, CLOSE, FIN, PING, PONG, TEXT, dial, framed

FRAME_BYTES = 1000
PROTOCOL, PAYLOAD, TOO_BIG = 1002, 1007, 1009


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
async def test_bytes_that_are_no_websocket_end_the_connection_and_say_why(
    street: Street, server: Server, quiet: None
) -> None:
    """Once for each code; all the other bytes: test_connection.py and test_wire.py."""
    host = await street.host()
    for data, code in (
        (b"\x81\x02{}", PROTOCOL),
        (framed(TEXT, b"\xff\xfe{}"), PAYLOAD),
        (framed(TEXT, b"x" * (FRAME_BYTES + 1)), TOO_BIG),
        (framed(TEXT, b"x" * 600, head=0) + framed(0, b"y" * 600), TOO_BIG),
    ):
        wire = await dial(host)
        wire.writer.write(data)
        answers = await wire.until_close()
        assert [opcode for opcode, _ in answers] == [CLOSE], answers
        assert int.from_bytes(answers[0][1][:2], "big") == code
        await wire.close()
        await until(lambda: not server.parts.hub.open)


@pytest.mark.gen_test(timeout=20)
async def test_whoever_talks_too_fast_is_told(street: Street, quiet: None) -> None:
    wire = await dial(await street.host())
    wire.writer.write(framed(PING, b"") * 40)  # read at once, in two seconds at the most
    *_, (said, bye), (ended, closing) = await wire.until_close()
    assert (said, ended, closing[:2]) == (TEXT, CLOSE, (4029).to_bytes(2, "big"))
    told = json.loads(bye)
    assert (told["code"], told["reconnect"]) == (4029, True)
    assert told["retry_ms"] >= 100
    await wire.close()


@pytest.mark.gen_test(timeout=20)
async def test_the_third_bad_frame_is_a_goodbye(street: Street, quiet: None) -> None:
    _, socket = await a_socket(street)
    await socket.connection.send('{"type":"sing"}')
    await socket.connection.send(b"\x00\xff")
    await socket.send(type="ping", n=1)
    assert await socket.next() == {"type": "pong", "n": 1}
    await socket.connection.send("{")
    assert await parted(socket) == 4500


@pytest.mark.gen_test(timeout=20)
async def test_a_message_in_pieces_is_one_and_a_ping_between_them_is_answered(
    street: Street, quiet: None
) -> None:
    wire = await dial(await street.host())
    await wire.send(TEXT, b'{"type":"pi', head=0)
    await wire.send(PING, b"hello")
    await wire.send(0, b'ng","n":5}', head=FIN)
    assert await wire.next() == (PONG, b"hello")
    assert await wire.next() == (TEXT, b'{"type":"pong","n":5}')
    await wire.close()


@pytest.mark.gen_test(timeout=20)
async def test_a_close_is_answered_and_the_connection_ended(
    street: Street, server: Server, quiet: None
) -> None:
    wire = await dial(await street.host())
    await wire.send(CLOSE, b"\x03\xe9bye")
    answers = [it for it in await wire.rest() if b'"audience"' not in it[1]]
    assert answers == [(CLOSE, b"\x03\xe9")]
    await until(lambda: not server.parts.hub.open)
    await wire.close()


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
    bye, code = await farewell(socket)
    assert (bye["code"], code, bye["reconnect"]) == (4510, 4510, False)


@pytest.mark.gen_test(timeout=20)
async def test_whoever_leaves_hears_nothing_more(street: Street) -> None:
    host, listener = await a_socket(street)
    seq = 0
    for name, call, code in (
        ("bert", "qlive_room/leave_room/", 4504),
        ("carl", "qlive_user/logout/", 4401),
    ):
        guest = await street.guest(name, 1, host.live_id)
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
        socket = await guest.connect()
        assert (await socket.frame())["seq"] == seq + 1
        (await guest.get(call, live_id=host.live_id)).ok()
        assert await parted(socket) == code
        assert (await listener.next("micro_apply"))["seq"] == seq + 1
        assert (await listener.next("micro_refuse"))["data"]["reason"] == "left"
        seq += 2
        assert await parted(await guest.connect()) == code
