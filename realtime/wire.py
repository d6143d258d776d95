"""What a client sends, from bytes to messages (RFC 6455), and the few frames that answer it."""

import hashlib
import struct
import sys
from base64 import b64encode
from dataclasses import dataclass
from typing import NamedTuple

PROTOCOL_ERROR, BAD_PAYLOAD, TOO_BIG = 1002, 1007, 1009
"""Closing codes of RFC 6455 §7.4.1."""

FRAGMENTS = 1024
"""The most fragments of one message. Phones and browsers send what fits our limits in one; empty
fragments would otherwise keep us busy for ever with a message that never comes."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))


class Broken(Exception):
    """The peer broke the protocol: close with `closing(code, reason)`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Binary:
    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    data: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    data: bytes


@dataclass(frozen=True, slots=True)
class Closing:
    """`code` is None when the peer gave none."""

    code: int | None
    reason: str


Heard = Text | Binary | Ping | Pong | Closing | Broken


@dataclass(slots=True)
class _Started:
    """A message of which more fragments are to come: one buffer, however many they are."""

    opcode: int
    data: bytearray
    fragments: int = 1


class _Header(NamedTuple):
    final: bool
    opcode: int
    size: int
    end: int
    """Where the masking key begins."""


class Reader:
    """The server's ear on one socket; holds no buffer while nothing is half said."""

    __slots__ = ("_limit", "_over", "_started", "_waiting")

    def __init__(self, limit: int) -> None:
        """`limit`: the largest message in bytes, over all its fragments. More than that and one
        control frame never waits here."""
        self._limit = limit
        self._waiting: bytearray | None = None
        self._started: _Started | None = None
        self._over = False

    def feed(self, data: bytes) -> list[Heard]:
        """What has arrived whole, in order; what is not whole waits.

        Never raises: when the peer breaks the protocol, `Broken` is the last element, behind what
        was right before it. After `Broken` or `Closing` whatever comes is ignored.
        """
        if self._over:
            return []
        heard: list[Heard] = []
        came: bytes | bytearray = data
        if self._waiting is not None:
            self._waiting += data
            came = self._waiting
        try:
            self._keep(came, self._read(came, heard))
        except Broken as broken:
            # The traceback holds this very frame, and with it all that was sent.
            heard.append(broken.with_traceback(None))
        if heard and isinstance(heard[-1], Closing | Broken):
            self._over, self._waiting, self._started = True, None, None
        return heard

    def _read(self, came: bytes | bytearray, heard: list[Heard]) -> int:
        """Add what is whole to `heard`; returns how many bytes that was."""
        at = 0
        while header := _header(came, at):
            self._check(header)
            body = header.end + 4
            end = body + header.size
            if end > len(came):
                break
            payload = _unmasked(came[body:end], came[header.end : body])
            at = end
            message = self._gather(header, payload)
            if message is not None:
                heard.append(message)
            if header.opcode == CLOSE:
                break
        return at

    def _keep(self, came: bytes | bytearray, read: int) -> None:
        """Let what was not read yet wait, and only that."""
        if read == len(came):
            self._waiting = None
        elif self._waiting is None:
            self._waiting = bytearray(came[read:])
        else:
            del self._waiting[:read]

    def _check(self, header: _Header) -> None:
        """Refuse by the header alone, before the payload has come (RFC 6455 §5.4)."""
        if header.opcode >= CLOSE:
            return  # may stand between fragments, and is never long
        started = self._started
        if started is None and header.opcode == CONTINUATION:
            raise Broken(PROTOCOL_ERROR, "nothing to continue")
        if started is not None and header.opcode != CONTINUATION:
            raise Broken(PROTOCOL_ERROR, "the message before is not finished")
        if started is not None and started.fragments == FRAGMENTS:
            raise Broken(TOO_BIG, "too many fragments")
        if header.size > self._limit - (len(started.data) if started else 0):
            raise Broken(TOO_BIG, "message too big")

    def _gather(self, header: _Header, payload: bytes) -> Heard | None:
        """The message that this frame completes, if it does."""
        if header.opcode >= CLOSE:
            return _control(header.opcode, payload)
        started = self._started
        if started is None:
            if header.final:
                return _message(header.opcode, payload)
            self._started = _Started(header.opcode, bytearray(payload))
            return None
        started.data += payload
        started.fragments += 1
        if not header.final:
            return None
        self._started = None
        return _message(started.opcode, bytes(started.data))


def accept(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    seed = key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return b64encode(hashlib.sha1(seed, usedforsecurity=False).digest()).decode()


def upgrade(key: str) -> bytes:
    """The whole 101 response: no extension, no subprotocol."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept(key)}\r\n\r\n"
    ).encode()


def closing(code: int, reason: str = "") -> bytes:
    """A close frame; of the reason as many whole characters as fit 123 bytes (RFC 6455 §5.5.1)."""
    fits = reason.encode()[:123].decode(errors="ignore").encode()
    return struct.pack("!BBH", 0x80 | CLOSE, 2 + len(fits), code) + fits


def pong(data: bytes) -> bytes:
    """The answer to a `Ping` with this data, at most 125 bytes as in every ping that was read."""
    return bytes((0x80 | PONG, len(data))) + data


def _header(came: bytes | bytearray, at: int) -> _Header | None:
    """The header that begins at `at` (RFC 6455 §5.2); None while it is not whole."""
    if len(came) < at + 2:
        return None
    first, second = came[at], came[at + 1]
    final, opcode, size = first >= 0x80, first & 0x0F, second & 0x7F
    if first & 0x70:
        raise Broken(PROTOCOL_ERROR, "reserved bit set")
    if opcode not in OPCODES:
        raise Broken(PROTOCOL_ERROR, "unknown opcode")
    if second < 0x80:
        raise Broken(PROTOCOL_ERROR, "not masked")
    if opcode >= CLOSE and (size > 125 or not final):
        raise Broken(PROTOCOL_ERROR, "control frame too long or in fragments")
    if size < 126:
        return _Header(final, opcode, size, at + 2)
    end = at + (4 if size == 126 else 10)
    if len(came) < end:
        return None
    return _Header(final, opcode, _long(came[at + 2 : end]), end)


def _long(field: bytes | bytearray) -> int:
    """A length of 126 or more, written in two or eight bytes."""
    size = int.from_bytes(field, "big")
    if size >> 63:
        raise Broken(PROTOCOL_ERROR, "length out of range")
    if size < (126 if len(field) == 2 else 0x10000):
        raise Broken(PROTOCOL_ERROR, "length not in its shortest form")
    return size


def _unmasked(data: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """One xor of two long numbers: 16 KiB take 20 µs, a loop over the bytes 800 µs."""
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    number = int.from_bytes(data, sys.byteorder) ^ int.from_bytes(keys, sys.byteorder)
    return number.to_bytes(size, sys.byteorder)


def _message(opcode: int, payload: bytes) -> Text | Binary:
    return Text(_decoded(payload)) if opcode == TEXT else Binary(payload)


def _control(opcode: int, payload: bytes) -> Ping | Pong | Closing:
    if opcode == CLOSE:
        return _closing(payload)
    return Ping(payload) if opcode == PING else Pong(payload)


def _closing(payload: bytes) -> Closing:
    if not payload:
        return Closing(None, "")
    code = int.from_bytes(payload[:2], "big")  # of one byte alone under 256, so refused as well
    if not _may_be_sent(code):
        raise Broken(PROTOCOL_ERROR, "closing code that may not be sent")
    return Closing(code, _decoded(payload[2:]))


def _may_be_sent(code: int) -> bool:
    """RFC 6455 §7.4 and IANA's registry: 1004-1006 and 1015 are reserved, 1016-2999 unknown."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass  # raised below: as its context the error would hold all that was sent
    raise Broken(BAD_PAYLOAD, "not UTF-8")
