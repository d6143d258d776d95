import asyncio
import struct

import pytest

from chaos.wire import Wire, framed, handshake

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class Line(asyncio.Transport):
    """Takes down what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.aborted = self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted


def text(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


def connected() -> tuple[Wire, Line, list[bytes]]:
    heard: list[bytes] = []
    wire, line = Wire(b"request", heard.append), Line()
    wire.connection_made(line)
    assert line.sent.pop() == b"request"
    return wire, line, heard


@pytest.mark.gen_test
async def test_frames_of_every_size_are_heard_wherever_they_are_cut() -> None:
    payloads = [b"", b"a" * 125, b"b" * 126, b"c" * 65_536, b"d"]
    stream = UPGRADE + b"".join(map(text, payloads))
    for step in (1, 7, 4_096, len(stream)):
        wire, _, heard = connected()
        for start in range(0, len(stream), step):
            wire.data_received(stream[start : start + step])
        assert heard == payloads


@pytest.mark.gen_test
async def test_a_ping_is_answered() -> None:
    wire, line, _ = connected()
    wire.data_received(UPGRADE + b"\x89\x02hi")
    assert line.sent == [framed(0x8A, b"hi")]


@pytest.mark.gen_test
async def test_a_close_is_answered_and_its_code_kept() -> None:
    wire, line, _ = connected()
    wire.data_received(UPGRADE + b"\x88\x06" + struct.pack("!H", 4000) + b"bye!")
    assert line.closed
    wire.connection_lost(None)
    assert await wire.ended == 4000


@pytest.mark.gen_test
async def test_an_end_without_a_word_is_1006() -> None:
    wire, _, _ = connected()
    wire.data_received(UPGRADE)
    wire.connection_lost(ConnectionResetError())
    assert await wire.ended == 1006


@pytest.mark.gen_test
async def test_a_refused_handshake_ends_with_its_status() -> None:
    wire, line, _ = connected()
    wire.data_received(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n{}")
    assert line.aborted
    wire.connection_lost(None)
    assert await wire.ended == 503


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x00",  # binary
        b"\x8a\x00",  # a pong to no ping
        b"\x83\x00",  # an opcode that nobody knows
        b"\xc1\x00",  # a reserved bit
        b"\x01\x00",  # the first of several fragments
        b"\x80\x00",  # the last of them
        b"\x81\x80\0\0\0\0",  # masked
        b"\x88\x01\x03",  # half a closing code
    ],
)
async def test_a_frame_that_no_server_may_send_breaks_the_wire(frame: bytes) -> None:
    wire, line, heard = connected()
    wire.data_received(UPGRADE + text(b"a") + frame + text(b"b"))
    assert heard == [b"a"]
    assert line.aborted
    assert wire.broke


@pytest.mark.gen_test
async def test_a_text_that_is_not_understood_breaks_the_wire() -> None:
    def hear(_text: bytes) -> None:
        raise KeyError("seq")

    wire, line = Wire(b"", hear), Line()
    wire.connection_made(line)
    wire.data_received(UPGRADE)
    assert wire.broke is None
    wire.data_received(text(b"{}"))
    assert line.aborted
    assert repr(wire.broke) == "KeyError('seq')"


def test_what_a_client_sends_is_masked() -> None:
    assert framed(0x81, b"hi") == b"\x81\x82\0\0\0\0hi"
    assert b"Authorization: QLiveToken abc\r\n" in handshake("/path", "abc")
