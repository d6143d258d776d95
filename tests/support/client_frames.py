"""WebSocket frames as a client sends them, valid or not, and their parsed messages."""

import struct
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from realtime import wire
from realtime.wire import (
    FrameParser,
    Incoming,
    ProtocolViolation,
)

LIMIT = 1000
KEY = b"\x37\xfa\x21\x3d"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    key: bytes | None = KEY,
    width: int | None = None,
) -> bytes:
    """A frame as a client sends it; `width` bytes of extended length, by default the fewest."""
    size, mask = len(payload), 0x80 if key else 0
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes((final << 7 | reserved << 4 | opcode, mask | short))
    head += size.to_bytes(width, "big") if width else b""
    if key is None:
        return head + payload
    mask_of_all = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload) ^ int.from_bytes(mask_of_all)
    return head + key + masked.to_bytes(size)


def fragments(opcode: int, *payloads: bytes) -> bytes:
    last = len(payloads) - 1
    return b"".join(
        frame(CONTINUATION if i else opcode, payload, final=i == last)
        for i, payload in enumerate(payloads)
    )


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def comparable(messages: Iterable[Incoming]) -> list[Any]:
    """Violations as (code, reason), since exceptions are never equal."""
    return [
        (message.code, message.reason) if isinstance(message, ProtocolViolation) else message
        for message in messages
    ]


def parse(*chunks: bytes, limit: int = LIMIT) -> list[Any]:
    parser = FrameParser(limit)
    return comparable(message for chunk in chunks for message in parser.feed(chunk))


def violation_code(sent: bytes, limit: int = LIMIT) -> int:
    """The close code for bytes without any valid message."""
    [(code, reason)] = parse(sent, limit=limit)
    assert reason
    assert len(wire.close_frame(code, reason)) == 4 + len(reason.encode())
    return int(code)


PAYLOADS = st.binary(max_size=12) | st.binary(min_size=124, max_size=128)
CLOSE_CODES = st.integers(0, 65535) | st.sampled_from([1000, 1001, 1005, 1007, 3000, 4500])
VALID_FRAMES = st.one_of(
    st.builds(frame, st.just(TEXT), st.text(max_size=50).map(str.encode)),
    st.builds(frame, st.sampled_from([BINARY, PING, PONG]), PAYLOADS),
    st.lists(PAYLOADS, min_size=2, max_size=5).map(lambda parts: fragments(BINARY, *parts)),
)
UNUSUAL_FRAMES = st.one_of(
    st.builds(frame, st.integers(0, 15), PAYLOADS, final=st.booleans(), key=st.just(KEY)),
    st.builds(frame, st.sampled_from([CONTINUATION, BINARY]), PAYLOADS, final=st.booleans()),
    st.builds(frame, st.just(BINARY), PAYLOADS, reserved=st.integers(0, 7)),
    st.builds(frame, st.just(BINARY), PAYLOADS, key=st.none() | st.binary(min_size=4, max_size=4)),
    st.builds(close, CLOSE_CODES, st.text(max_size=30).map(str.encode)),
)
STREAMS = st.lists(VALID_FRAMES | VALID_FRAMES | UNUSUAL_FRAMES, max_size=8).map(b"".join)
