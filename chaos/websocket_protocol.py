"""Minimal WebSocket client protocol, cheap enough for thousands of clients on one core."""

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from typing import cast

TEXT, CLOSE, PING = KNOWN = 0x81, 0x88, 0x89
"""First bytes of the frames that this server sends: unfragmented, without extensions, and (in the
second byte) unmasked."""
NO_MASK = b"\0\0\0\0"
"""A client must mask (RFC 6455 §5.3); a mask of zeros leaves the bytes unchanged."""
ABNORMAL_CLOSURE = 1006
"""Close code of a connection that ended without a close frame (RFC 6455 §7.1.5)."""


def handshake(path: str, token: str, host: str = "qlive") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: QLiveToken {token}\r\n\r\n"
    ).encode()


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Encode a client frame of at most 125 bytes."""
    return bytes((opcode, 0x80 | len(payload))) + NO_MASK + payload


class WebSocketConnection(asyncio.Protocol):
    """One connection; calls `on_text` for each text frame.

    `closed` resolves to the close code, or to the HTTP status of a rejected handshake. A protocol
    violation by the server sets `error`, and so does an exception from `on_text`.
    """

    def __init__(self, request: bytes, on_text: Callable[[bytes], None]) -> None:
        self.upgraded = False
        self.received_at = 0.0
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._on_text = on_text
        self._buffer = b""
        self._code = ABNORMAL_CLOSURE
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.received_at = asyncio.get_running_loop().time()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.received_at = asyncio.get_running_loop().time()
        self._buffer = self._buffer + data if self._buffer else data
        try:
            if self.upgraded or self._upgrade():
                self._read_frames()
        except Exception as error:  # noqa: BLE001 - any error here is a violation to report
            self.error = error
            self.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(self._code)

    def abort(self) -> None:
        """Drop the connection without a close frame, like a phone that lost its network."""
        if self.transport:
            self.transport.abort()

    def _upgrade(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            self._code = status
            self.abort()
            return False
        self.upgraded, self._buffer = True, rest
        return True

    def _read_frames(self) -> None:
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= 2:
            if buffer[at] not in KNOWN or buffer[at + 1] > 127:
                raise ValueError(f"invalid frame header {buffer[at : at + 2].hex()}")
            size, start = buffer[at + 1], at + 2
            if size == 126:
                start += 2
                size = struct.unpack_from("!H", buffer, at + 2)[0] if end >= start else end
            elif size == 127:
                start += 8
                size = struct.unpack_from("!Q", buffer, at + 2)[0] if end >= start else end
            if start + size > end:
                break
            self._on_frame(buffer[at], buffer[start : start + size])
            at = start + size
        self._buffer = buffer[at:]

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        assert self.transport is not None
        if opcode == TEXT:
            self._on_text(payload)
        elif opcode == PING:
            self.transport.write(encode_frame(0x8A, payload))
        else:
            self._code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self.transport.write(encode_frame(CLOSE, payload[:2]))
            self.transport.close()
