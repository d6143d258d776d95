"""The client's half of a WebSocket, written by hand so that thousands fit on one core."""

import asyncio
import base64
import os
import struct
from collections.abc import Callable

TEXT, CLOSE, PING = KNOWN = 0x81, 0x88, 0x89
"""How frames of this server begin: whole, without extensions, and (in the next byte) unmasked."""
NO_MASK = b"\0\0\0\0"
"""A client must mask (RFC 6455 §5.3); masked with zeros the bytes stay as they are."""
NORMAL = 1006
"""What is said of an end without a close frame (RFC 6455 §7.1.5)."""


def handshake(path: str, token: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: qlive\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: QLiveToken {token}\r\n\r\n"
    ).encode()


def framed(opcode: int, payload: bytes) -> bytes:
    """A frame from a client, of at most 125 bytes."""
    return bytes((opcode, 0x80 | len(payload))) + NO_MASK + payload


class Wire(asyncio.Protocol):
    """One connection. `hear` gets every text; `ended` resolves to the closing code.

    A handshake that is answered with anything but 101 ends with that HTTP status, a server that
    breaks the protocol with `broke`: what `hear` raises counts as that, too.
    """

    def __init__(self, request: bytes, hear: Callable[[bytes], None]) -> None:
        self.upgraded = False
        self.heard_at = 0.0
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._hear = hear
        self._buffer = b""
        self._code = NORMAL
        self.broke: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.heard_at = asyncio.get_running_loop().time()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._buffer = self._buffer + data if self._buffer else data
        try:
            if self.upgraded or self._upgrade():
                self._read_frames()
        except Exception as error:  # noqa: BLE001 - whatever cannot be understood is a fault
            self.broke = error
            self.drop()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(self._code)

    def drop(self) -> None:
        """Leave without a word, as a phone does that lost its network."""
        if self.transport:
            self.transport.abort()

    def send(self, text: bytes) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.write(framed(TEXT, text))

    def _upgrade(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            self._code = status
            self.drop()
            return False
        self.upgraded, self._buffer = True, rest
        return True

    def _read_frames(self) -> None:
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= 2:
            if buffer[at] not in KNOWN or buffer[at + 1] > 127:
                raise ValueError(f"a frame that begins with {buffer[at : at + 2].hex()}")
            size, start = buffer[at + 1], at + 2
            if size == 126:
                start += 2
                size = struct.unpack_from("!H", buffer, at + 2)[0] if end >= start else end
            elif size == 127:
                start += 8
                size = struct.unpack_from("!Q", buffer, at + 2)[0] if end >= start else end
            if start + size > end:
                break
            self._take(buffer[at], buffer[start : start + size])
            at = start + size
        self._buffer = buffer[at:]

    def _take(self, opcode: int, payload: bytes) -> None:
        assert self.transport is not None
        if opcode == TEXT:
            self._hear(payload)
        elif opcode == PING:
            self.transport.write(framed(0x8A, payload))
        else:
            self._code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self.transport.write(framed(CLOSE, payload[:2]))
            self.transport.close()
