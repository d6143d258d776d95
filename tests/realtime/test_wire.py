"""The parser; the Autobahn cases show most of what the standard allows and forbids."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close
from websockets.protocol import CLIENT, OPEN, Protocol

from realtime import wire
from realtime.wire import (
    BinaryMessage,
    CloseMessage,
    FrameParser,
    Incoming,
    PingMessage,
    ProtocolViolation,
    TextMessage,
)
from tests.support.client_frames import (
    BINARY,
    CONTINUATION,
    LIMIT,
    PING,
    STREAMS,
    TEXT,
    close,
    fragments,
    frame,
    parse,
    violation_code,
)
from tests.support.hypothesis_profiles import example_settings

VALID = {
    "the standard's own example": (
        bytes.fromhex("818537fa213d7f9f4d5158"),
        [TextMessage("Hello")],
    ),
    "bytes up to the limit": (frame(BINARY, b"x" * LIMIT), [BinaryMessage(b"x" * LIMIT)]),
    "fragments up to the limit": (
        fragments(BINARY, b"x" * (LIMIT - 1), b"x"),
        [BinaryMessage(b"x" * LIMIT)],
    ),
    "a ping between fragments that are full": (
        frame(BINARY, b"x" * LIMIT, final=False) + frame(PING, b"?") + frame(CONTINUATION),
        [PingMessage(b"?"), BinaryMessage(b"x" * LIMIT)],
    ),
    "frames after a close": (
        close(4001, "慢".encode()) + frame(TEXT, b"late") + b"\xff",
        [CloseMessage(4001, "慢")],
    ),
}

INVALID = {
    "not masked": (1002, frame(TEXT, b"Hello", key=None)),
    "a ping not masked": (1002, frame(PING, key=None)),
    "a short ping in the long form": (1002, frame(PING, b"x", width=2)),
    "125 bytes in two bytes of length": (1002, frame(TEXT, b"x" * 125, width=2)),
    "125 bytes in eight bytes of length": (1002, frame(TEXT, b"x" * 125, width=8)),
    "65535 bytes in eight bytes of length": (1002, b"\x81\xff" + (65535).to_bytes(8, "big")),
    "a length with the top bit set": (1002, b"\x81\xff\x80" + bytes(7)),
    "a length over the limit": (1009, frame(TEXT, b"x" * (LIMIT + 1))),
    "the largest length there is": (1009, b"\x82\xff\x7f" + b"\xff" * 7),
    "fragments over the limit": (1009, fragments(BINARY, b"x" * LIMIT, b"x")),
    "many fragments over the limit": (1009, fragments(TEXT, *[b"x" * 100] * 11)),
    "a wrong code with a wrong reason": (1002, close(1005, b"\xff")),
}


@pytest.mark.parametrize(("sent", "expected"), VALID.values(), ids=VALID)
def test_parser_accepts_what_the_standard_allows(sent: bytes, expected: list[Incoming]) -> None:
    assert parse(sent) == expected


@pytest.mark.parametrize(("code", "sent"), INVALID.values(), ids=INVALID)
def test_parser_rejects_what_the_standard_forbids_and_everything_after_it(
    code: int, sent: bytes
) -> None:
    parser = FrameParser(LIMIT)
    before = frame(TEXT, b"before") + frame(PING, b"?")
    *valid, violation = parser.feed(before + sent + frame(TEXT, b"after"))
    assert valid == [TextMessage("before"), PingMessage(b"?")]
    assert isinstance(violation, ProtocolViolation)
    assert violation.code == code
    assert violation.reason
    assert parser.feed(frame(TEXT, b"later")) == []


def test_data_over_the_limit_is_rejected_by_its_header() -> None:
    assert violation_code(frame(TEXT, b"x" * (LIMIT + 1))[:4]) == 1009
    assert violation_code(b"\x82\xff" + (2**40).to_bytes(8, "big")) == 1009
    assert violation_code(frame(BINARY, b"x"), limit=0) == 1009
    fragment = frame(TEXT, b"x" * (LIMIT - 100), final=False)
    assert violation_code(fragment + frame(CONTINUATION, b"x" * 101)[:2]) == 1009


def test_message_may_have_the_maximum_number_of_fragments() -> None:
    count = wire.max_fragments(10_000)
    sent = fragments(TEXT, *[b"x"] * count)
    assert parse(sent * 2, limit=10_000) == [TextMessage("x" * count)] * 2
    assert violation_code(fragments(TEXT, *[b""] * (wire.max_fragments(LIMIT) + 1))) == 1009


# ---- frames of the server


def test_upgrade_response_has_the_key_of_the_standards_example_and_no_extensions() -> None:
    assert wire.upgrade_response("dGhlIHNhbXBsZSBub25jZQ==") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("reason", "fitting"),
    [
        ("slow", "slow"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("红" * 41, "红" * 41),
        ("x" + "红" * 41, "x" + "红" * 40),
        ("xx" + "红" * 41, "xx" + "红" * 40),
        ("🌹" * 31, "🌹" * 30),
    ],
)
def test_close_with_a_truncated_reason_is_read_by_another_client(reason: str, fitting: str) -> None:
    client = Protocol(CLIENT, state=OPEN)
    client.receive_data(wire.close_frame(4001, reason))
    assert client.close_rcvd == Close(4001, fitting)
    assert client.parser_exc is None
    assert len(wire.close_frame(4001, reason)) <= 127


# ---- random streams

EXAMPLES = example_settings(100)


def cut(sent: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted(index % (len(sent) + 1) for index in cuts)
    return [sent[a:b] for a, b in zip([0, *at], [*at, len(sent)], strict=True)]


@EXAMPLES
@given(STREAMS | st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_stream_parses_the_same_with_any_chunks(sent: bytes, cuts: list[int]) -> None:
    assert parse(*cut(sent, cuts), limit=130) == parse(sent, limit=130)


@EXAMPLES
@given(st.lists(STREAMS | st.binary(max_size=200), max_size=6), st.data())
def test_parser_never_raises_on_random_or_damaged_streams(
    streams: list[bytes], data: st.DataObject
) -> None:
    sent = bytearray(b"".join(streams))
    for at in data.draw(st.lists(st.integers(0, max(len(sent) - 1, 0)), max_size=4)):
        sent[at : at + 1] = data.draw(st.binary(max_size=2))
    messages = FrameParser(256).feed(bytes(sent))
    assert all(isinstance(message, Incoming) for message in messages)
    last = [isinstance(message, ProtocolViolation | CloseMessage) for message in messages]
    assert not any(last[:-1])
    codes = {message.code for message in messages if isinstance(message, ProtocolViolation)}
    assert codes <= {1002, 1007, 1009}


@EXAMPLES
@given(st.binary(max_size=600), st.binary(min_size=4, max_size=4))
def test_any_masking_key_is_removed(payload: bytes, key: bytes) -> None:
    assert parse(frame(BINARY, payload, key=key)) == [BinaryMessage(payload)]


# ---- cost


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (frame(BINARY, bytes(2_000_000))[:-1000], [b"x"] * 999),
        (frame(BINARY, bytes(2_000_000), final=False), [frame(CONTINUATION, final=False)] * 999),
    ],
    ids=["a frame byte by byte", "a message in tiny fragments"],
)
def test_no_chunk_copies_the_buffered_data(head: bytes, tail: list[bytes]) -> None:
    parser = FrameParser(8_000_000)
    tracemalloc.start()
    try:
        assert parser.feed(head) == []
        for piece in tail:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert parser.feed(piece) == []
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < 1_000_000
    finally:
        tracemalloc.stop()
