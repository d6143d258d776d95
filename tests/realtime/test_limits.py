import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.websocket.connection import FRAME_BYTES
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.raw_websocket import (
    BINARY,
    CLOSE,
    FIN,
    PING,
    PONG,
    TEXT,
    connect_raw,
    encode_frame,
)
from tests.support.waiting import until
from tests.support.websockets import close_code_of, read_close

PROTOCOL_ERROR, INVALID_PAYLOAD, MESSAGE_TOO_BIG = 1002, 1007, 1009


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"limits": {"frames_per_second": 10}}


@pytest.fixture
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test whose clients make the server log an error."""
    with capture_logs() as lines:
        yield
    assert not [line for line in lines if line["log_level"] in ("error", "critical")]
    assert not [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]


async def connect_host(api: ApiFixture) -> tuple[ApiClient, Socket]:
    host = await api.host()
    socket = await host.connect()
    assert (await socket.frame())["type"] == "snapshot"
    return host, socket


@pytest.mark.gen_test(timeout=20)
async def test_invalid_frames_close_the_connection_with_the_matching_code(
    api: ApiFixture, server: ServerProcess, no_errors_logged: None
) -> None:
    """One example per code; more in test_connection.py and test_wire.py."""
    host = await api.host()
    for data, code in (
        (b"\x81\x02{}", PROTOCOL_ERROR),
        (encode_frame(TEXT, b"\xff\xfe{}"), INVALID_PAYLOAD),
        (encode_frame(TEXT, b"x" * (FRAME_BYTES + 1)), MESSAGE_TOO_BIG),
        (encode_frame(TEXT, b"x" * 9000, head=0) + encode_frame(0, b"y" * 9000), MESSAGE_TOO_BIG),
    ):
        client = await connect_raw(host)
        client.writer.write(data)
        frames = await client.read_until_close()
        assert [opcode for opcode, _ in frames] == [CLOSE], frames
        assert int.from_bytes(frames[0][1][:2], "big") == code
        await client.close()
        await until(lambda: not server.context.hub.open)


@pytest.mark.gen_test(timeout=20)
async def test_client_over_the_frame_rate_limit_is_closed(
    api: ApiFixture, no_errors_logged: None
) -> None:
    client = await connect_raw(await api.host())
    client.writer.write(encode_frame(PING, b"") * 40)  # parsed at once, within two seconds at most
    *_, (first_opcode, data), (last_opcode, closing) = await client.read_until_close()
    assert (first_opcode, last_opcode, closing[:2]) == (TEXT, CLOSE, (4029).to_bytes(2, "big"))
    bye = json.loads(data)
    assert (bye["code"], bye["reconnect"]) == (4029, True)
    assert bye["retry_ms"] >= 100
    await client.close()


@pytest.mark.gen_test(timeout=20)
async def test_third_bad_frame_closes_the_connection(
    api: ApiFixture, no_errors_logged: None
) -> None:
    _, socket = await connect_host(api)
    await socket.connection.send('{"type":"sing"}')
    await socket.connection.send(b"\x00\xff")
    await socket.send(type="ping", n=1)
    assert await socket.next() == {"type": "pong", "n": 1}
    await socket.connection.send("{")
    assert await close_code_of(socket) == 4500


@pytest.mark.gen_test(timeout=20)
async def test_ping_between_the_fragments_of_a_message_is_answered(
    api: ApiFixture, no_errors_logged: None
) -> None:
    client = await connect_raw(await api.host())
    await client.send(TEXT, b'{"type":"pi', head=0)
    await client.send(PING, b"hello")
    await client.send(0, b'ng","n":5}', head=FIN)
    assert await client.next() == (PONG, b"hello")
    assert await client.next() == (TEXT, b'{"type":"pong","n":5}')
    await client.close()


@pytest.mark.gen_test(timeout=20)
async def test_close_frame_is_answered_and_the_connection_ends(
    api: ApiFixture, server: ServerProcess, no_errors_logged: None
) -> None:
    client = await connect_raw(await api.host())
    await client.send(CLOSE, b"\x03\xe9bye")
    frames = [frame for frame in await client.read_to_end() if b'"audience"' not in frame[1]]
    assert frames == [(CLOSE, b"\x03\xe9")]
    await until(lambda: not server.context.hub.open)
    await client.close()


@pytest.mark.gen_test(timeout=20)
async def test_aborted_connection_leaves_no_socket(
    api: ApiFixture, server: ServerProcess, no_errors_logged: None
) -> None:
    client = await connect_raw(await api.host())
    assert server.context.hub.sockets == 1
    client.writer.write(encode_frame(BINARY, b"half of a fra")[:-5])
    client.writer.transport.abort()
    await client.close()
    await until(lambda: not server.context.hub.channels)


@pytest.mark.gen_test(timeout=20)
async def test_no_frame_is_sent_after_a_close(api: ApiFixture, no_errors_logged: None) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    client = await connect_raw(host)
    for _ in range(3):
        await client.send(TEXT, b"bad")
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await client.send_json(type="ping", n=1)
    await client.send(CLOSE, b"\x11\x94")
    frames = [(op, data) for op, data in await client.read_to_end() if b'"audience"' not in data]
    assert [opcode for opcode, _ in frames] == [TEXT, CLOSE]
    assert json.loads(frames[0][1])["type"] == "bye"
    await client.close()


@pytest.mark.gen_test(timeout=20)
async def test_live_end_is_delivered_before_the_bye(api: ApiFixture) -> None:
    host, socket = await connect_host(api)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "host"
    bye, code = await read_close(socket)
    assert (bye["code"], code, bye["reconnect"]) == (4510, 4510, False)


@pytest.mark.gen_test(timeout=20)
async def test_leaving_or_logging_out_closes_the_socket(api: ApiFixture) -> None:
    host, host_socket = await connect_host(api)
    seq = 0
    for name, path, code in (
        ("bert", "qlive_room/leave_room/", 4504),
        ("carl", "qlive_user/logout/", 4401),
    ):
        guest = await api.guest(name, 1, host.live_id)
        (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
        socket = await guest.connect()
        assert (await socket.frame())["seq"] == seq + 1
        (await guest.get(path, live_id=host.live_id)).ok()
        assert await close_code_of(socket) == code
        assert (await host_socket.next("micro_apply"))["seq"] == seq + 1
        assert (await host_socket.next("micro_refuse"))["data"]["reason"] == "left"
        seq += 2
        assert await close_code_of(await guest.connect()) == code
