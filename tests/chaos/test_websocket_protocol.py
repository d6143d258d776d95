import asyncio
import struct

import pytest

from chaos.websocket_protocol import WebSocketConnection, encode_frame, handshake

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


class FakeTransport(asyncio.Transport):
    """Records what is sent."""

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


def connected() -> tuple[WebSocketConnection, FakeTransport, list[bytes]]:
    received: list[bytes] = []
    connection = WebSocketConnection(b"request", received.append)
    transport = FakeTransport()
    connection.connection_made(transport)
    assert transport.sent.pop() == b"request"
    return connection, transport, received


@pytest.mark.gen_test
async def test_frames_of_every_size_are_received_however_they_are_split() -> None:
    payloads = [b"", b"a" * 125, b"b" * 126, b"c" * 65_536, b"d"]
    stream = UPGRADE + b"".join(map(text, payloads))
    for step in (1, 7, 4_096, len(stream)):
        connection, _, received = connected()
        for start in range(0, len(stream), step):
            connection.data_received(stream[start : start + step])
        assert received == payloads


@pytest.mark.gen_test
async def test_a_ping_is_answered_with_a_pong() -> None:
    connection, transport, _ = connected()
    connection.data_received(UPGRADE + b"\x89\x02hi")
    assert transport.sent == [encode_frame(0x8A, b"hi")]


@pytest.mark.gen_test
async def test_a_close_frame_is_answered_and_its_code_returned() -> None:
    connection, transport, _ = connected()
    connection.data_received(UPGRADE + b"\x88\x06" + struct.pack("!H", 4000) + b"bye!")
    assert transport.closed
    connection.connection_lost(None)
    assert await connection.closed == 4000


@pytest.mark.gen_test
async def test_a_lost_connection_has_close_code_1006() -> None:
    connection, _, _ = connected()
    connection.data_received(UPGRADE)
    connection.connection_lost(ConnectionResetError())
    assert await connection.closed == 1006


@pytest.mark.gen_test
async def test_a_rejected_handshake_ends_with_its_http_status() -> None:
    connection, transport, _ = connected()
    connection.data_received(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n{}")
    assert transport.aborted
    connection.connection_lost(None)
    assert await connection.closed == 503


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x00",  # binary
        b"\x8a\x00",  # an unsolicited pong
        b"\x83\x00",  # an unknown opcode
        b"\xc1\x00",  # a reserved bit
        b"\x01\x00",  # the first of several fragments
        b"\x80\x00",  # the last of several fragments
        b"\x81\x80\0\0\0\0",  # masked
        b"\x88\x01\x03",  # a truncated close code
    ],
)
async def test_a_frame_that_servers_must_not_send_ends_the_connection(frame: bytes) -> None:
    connection, transport, received = connected()
    connection.data_received(UPGRADE + text(b"a") + frame + text(b"b"))
    assert received == [b"a"]
    assert transport.aborted
    assert connection.error


@pytest.mark.gen_test
async def test_an_exception_of_the_callback_ends_the_connection() -> None:
    def on_text(_text: bytes) -> None:
        raise KeyError("seq")

    connection, transport = WebSocketConnection(b"", on_text), FakeTransport()
    connection.connection_made(transport)
    connection.data_received(UPGRADE)
    assert connection.error is None
    connection.data_received(text(b"{}"))
    assert transport.aborted
    assert repr(connection.error) == "KeyError('seq')"


def test_client_frames_are_masked() -> None:
    assert encode_frame(0x81, b"hi") == b"\x81\x82\0\0\0\0hi"
    assert b"Authorization: QLiveToken abc\r\n" in handshake("/path", "abc")
