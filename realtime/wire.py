"""Parses WebSocket frames from clients (RFC 6455) and builds the control frames."""

import hashlib
import struct
import sys
from base64 import b64encode
from dataclasses import dataclass
from typing import NamedTuple

PROTOCOL_ERROR, BAD_PAYLOAD, TOO_BIG = 1002, 1007, 1009
"""Close codes of RFC 6455 §7.4.1."""

MIN_FRAGMENTS = 1024
FRAGMENT_BYTES = 64
"""A message may have MIN_FRAGMENTS fragments, and one more for every FRAGMENT_BYTES of its limit.
Browsers and phones send what fits the limit in one; endless empty fragments would cost CPU without
ever completing a message."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class ProtocolViolation(Exception):
    """The peer violated the protocol: close with `close_frame(code, reason)`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TextMessage:
    text: str


@dataclass(frozen=True, slots=True)
class BinaryMessage:
    data: bytes


@dataclass(frozen=True, slots=True)
class PingMessage:
    data: bytes


@dataclass(frozen=True, slots=True)
class PongMessage:
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseMessage:
    """`code` is None when the peer gave none."""

    code: int | None
    reason: str


Incoming = (
    TextMessage | BinaryMessage | PingMessage | PongMessage | CloseMessage | ProtocolViolation
)


@dataclass(slots=True)
class _PartialMessage:
    """A message with more fragments to come, collected in one buffer."""

    opcode: int
    data: bytearray
    fragments: int = 1


class _FrameHeader(NamedTuple):
    final: bool
    opcode: int
    size: int
    end: int
    """Offset of the masking key."""


class FrameParser:
    """Incremental parser for one client's frames; it holds no buffer between messages."""

    __slots__ = ("_limit", "_over", "_started", "_waiting")

    def __init__(self, limit: int) -> None:
        """Bound messages, over all fragments; at most `limit` and a control frame are buffered."""
        self._limit = limit
        self._waiting: bytearray | None = None
        self._started: _PartialMessage | None = None
        self._over = False

    def feed(self, data: bytes) -> list[Incoming]:
        """Return the messages completed by `data`, in order; incomplete input is buffered.

        Never raises: after a violation the last element is a `ProtocolViolation`, behind the valid
        messages before it. Input after a `ProtocolViolation` or `CloseMessage` is ignored.
        """
        if self._over:
            return []
        messages: list[Incoming] = []
        buffer: bytes | bytearray = data
        if self._waiting is not None:
            self._waiting += data
            buffer = self._waiting
        try:
            consumed = self._parse(buffer, messages)
            if consumed == len(buffer):
                self._waiting = None
            elif self._waiting is None:
                self._waiting = bytearray(buffer[consumed:])
            else:
                del self._waiting[:consumed]
        except ProtocolViolation as violation:
            # The traceback would keep this stack frame, and with it all the input, alive.
            messages.append(violation.with_traceback(None))
        if messages and isinstance(messages[-1], CloseMessage | ProtocolViolation):
            self._over, self._waiting, self._started = True, None, None
        return messages

    def _parse(self, buffer: bytes | bytearray, messages: list[Incoming]) -> int:
        """Append the complete messages to `messages`; return the number of bytes consumed."""
        consumed = 0
        while header := _parse_header(buffer, consumed):
            self._check(header)
            body = header.end + 4
            end = body + header.size
            if end > len(buffer):
                break
            payload = _unmask(buffer[body:end], buffer[header.end : body])
            consumed = end
            message = self._assemble(header, payload)
            if message is not None:
                messages.append(message)
            if header.opcode == CLOSE:
                break
        return consumed

    def _check(self, header: _FrameHeader) -> None:
        """Validate the header alone, before the payload has arrived (RFC 6455 §5.4)."""
        if header.opcode >= CLOSE:
            return  # may come between fragments, and is never long
        started = self._started
        if started is None and header.opcode == CONTINUATION:
            raise ProtocolViolation(PROTOCOL_ERROR, "nothing to continue")
        if started is not None and header.opcode != CONTINUATION:
            raise ProtocolViolation(PROTOCOL_ERROR, "the message before is not finished")
        if started is not None and started.fragments == max_fragments(self._limit):
            raise ProtocolViolation(TOO_BIG, "too many fragments")
        if header.size > self._limit - (len(started.data) if started else 0):
            raise ProtocolViolation(TOO_BIG, "message too big")

    def _assemble(self, header: _FrameHeader, payload: bytes) -> Incoming | None:
        """Return the message that this frame completes, if any."""
        if header.opcode == CLOSE:
            return _parse_close(payload)
        if header.opcode > CLOSE:
            return PingMessage(payload) if header.opcode == PING else PongMessage(payload)
        started = self._started
        if started is None:
            if header.final:
                return _data_message(header.opcode, payload)
            self._started = _PartialMessage(header.opcode, bytearray(payload))
            return None
        started.data += payload
        started.fragments += 1
        if not header.final:
            return None
        self._started = None
        return _data_message(started.opcode, bytes(started.data))


def max_fragments(limit: int) -> int:
    """Return the number of fragments allowed in a message of at most `limit` bytes."""
    return MIN_FRAGMENTS + limit // FRAGMENT_BYTES


def upgrade_response(key: str) -> bytes:
    """Return the complete 101 response (RFC 6455 §4.2.2), without extension or subprotocol."""
    seed = key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n"
    ) % b64encode(hashlib.sha1(seed, usedforsecurity=False).digest())


def close_frame(code: int, reason: str = "") -> bytes:
    """Frame a close; the reason is cut to 123 bytes of whole characters (RFC 6455 §5.5.1)."""
    reason_bytes = reason.encode()[:123].decode(errors="ignore").encode()
    return struct.pack("!BBH", 0x80 | CLOSE, 2 + len(reason_bytes), code) + reason_bytes


def pong_frame(data: bytes) -> bytes:
    """Return a pong frame with the data of a `PingMessage`, at most 125 bytes."""
    return bytes((0x80 | PONG, len(data))) + data


def _parse_header(buffer: bytes | bytearray, offset: int) -> _FrameHeader | None:
    """Parse the frame header at `offset` (RFC 6455 §5.2); return None while it is incomplete."""
    if len(buffer) < offset + 2:
        return None
    first, second = buffer[offset], buffer[offset + 1]
    final, opcode, size = first >= 0x80, first & 0x0F, second & 0x7F
    if first & 0x70:
        raise ProtocolViolation(PROTOCOL_ERROR, "reserved bit set")
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise ProtocolViolation(PROTOCOL_ERROR, "unknown opcode")
    if second < 0x80:
        raise ProtocolViolation(PROTOCOL_ERROR, "not masked")
    if opcode >= CLOSE and (size > 125 or not final):
        raise ProtocolViolation(PROTOCOL_ERROR, "control frame too long or in fragments")
    if size < 126:
        return _FrameHeader(final, opcode, size, offset + 2)
    end = offset + (4 if size == 126 else 10)
    if len(buffer) < end:
        return None
    return _FrameHeader(final, opcode, _extended_length(buffer[offset + 2 : end]), end)


def _extended_length(field: bytes | bytearray) -> int:
    """Decode the extended payload length (126 or more), encoded in two or eight bytes."""
    size = int.from_bytes(field, "big")
    if size >> 63:
        raise ProtocolViolation(PROTOCOL_ERROR, "length out of range")
    if size < (126 if len(field) == 2 else 0x10000):
        raise ProtocolViolation(PROTOCOL_ERROR, "length not in its shortest form")
    return size


def _unmask(data: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """Return the XOR of two big integers: 16 KiB take 20 µs, a loop over the bytes 800 µs."""
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    number = int.from_bytes(data, sys.byteorder) ^ int.from_bytes(keys, sys.byteorder)
    return number.to_bytes(size, sys.byteorder)


def _data_message(opcode: int, payload: bytes) -> TextMessage | BinaryMessage:
    return TextMessage(_decode_text(payload)) if opcode == TEXT else BinaryMessage(payload)


def _parse_close(payload: bytes) -> CloseMessage:
    if not payload:
        return CloseMessage(None, "")
    code = int.from_bytes(payload[:2], "big")  # a single byte is below 256 and so refused, too
    # RFC 6455 §7.4 and IANA's registry: 1004-1006 and 1015 are reserved, 1016-2999 unknown.
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ProtocolViolation(PROTOCOL_ERROR, "closing code that may not be sent")
    return CloseMessage(code, _decode_text(payload[2:]))


def _decode_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass  # raised below: as its context this error would keep all the input alive
    raise ProtocolViolation(BAD_PAYLOAD, "not UTF-8")
