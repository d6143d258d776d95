import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from realtime import wire
from realtime.wire import (
    BinaryMessage,
    CloseMessage,
    FrameParser,
    Incoming,
    PingMessage,
    PongMessage,
    ProtocolViolation,
    TextMessage,
)
from tests.support.client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LIMIT,
    PING,
    PONG,
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
    "text": (frame(TEXT, "红娘 🌹".encode()), [TextMessage("红娘 🌹")]),
    "no text": (frame(TEXT), [TextMessage("")]),
    "bytes": (frame(BINARY, b"\xff\x00"), [BinaryMessage(b"\xff\x00")]),
    "125 bytes": (frame(BINARY, b"x" * 125), [BinaryMessage(b"x" * 125)]),
    "126 bytes": (frame(BINARY, b"x" * 126), [BinaryMessage(b"x" * 126)]),
    "the limit": (frame(BINARY, b"x" * LIMIT), [BinaryMessage(b"x" * LIMIT)]),
    "a mask of zeros": (frame(TEXT, b"plain", key=bytes(4)), [TextMessage("plain")]),
    "ping": (frame(PING, b"?" * 125), [PingMessage(b"?" * 125)]),
    "pong": (frame(PONG), [PongMessage(b"")]),
    "several": (
        frame(TEXT, b"a") + frame(PONG) + frame(TEXT, b"b"),
        [TextMessage("a"), PongMessage(b""), TextMessage("b")],
    ),
    "fragments": (fragments(TEXT, b"a", b"b", b"c"), [TextMessage("abc")]),
    "binary fragments": (fragments(BINARY, b"\xff", b"\xfe"), [BinaryMessage(b"\xff\xfe")]),
    "empty fragments": (fragments(TEXT, b"", b"", b"a", b""), [TextMessage("a")]),
    "a character over two fragments": (fragments(TEXT, b"\xe7\xba", b"\xa2"), [TextMessage("红")]),
    "fragments up to the limit": (
        fragments(BINARY, b"x" * (LIMIT - 1), b"x"),
        [BinaryMessage(b"x" * LIMIT)],
    ),
    "control frames between fragments": (
        frame(TEXT, b"a", final=False) + frame(PING) + frame(PONG) + frame(CONTINUATION, b"b"),
        [PingMessage(b""), PongMessage(b""), TextMessage("ab")],
    ),
    "a ping between fragments that are full": (
        frame(BINARY, b"x" * LIMIT, final=False) + frame(PING, b"?") + frame(CONTINUATION),
        [PingMessage(b"?"), BinaryMessage(b"x" * LIMIT)],
    ),
    "two messages in fragments": (
        fragments(TEXT, b"a", b"b") * 2,
        [TextMessage("ab"), TextMessage("ab")],
    ),
    "close": (frame(CLOSE), [CloseMessage(None, "")]),
    "close with a code": (close(1000), [CloseMessage(1000, "")]),
    "close with a reason": (close(4001, "慢".encode()), [CloseMessage(4001, "慢")]),
    "close between fragments": (frame(TEXT, final=False) + close(1001), [CloseMessage(1001, "")]),
    "frames after a close": (
        close(1000) + frame(TEXT, b"late") + b"\xff",
        [CloseMessage(1000, "")],
    ),
}  # fmt: skip

INVALID = {
    "not masked": (1002, frame(TEXT, b"Hello", key=None)),
    "a ping not masked": (1002, frame(PING, key=None)),
    "reserved bit 1, which is compression": (1002, frame(TEXT, b"a", reserved=4)),
    "reserved bit 2": (1002, frame(TEXT, b"a", reserved=2)),
    "reserved bit 3": (1002, frame(PING, b"a", reserved=1)),
    "a reserved bit in a continuation": (
        1002,
        frame(TEXT, final=False) + frame(CONTINUATION, reserved=4),
    ),
    **{f"opcode {n}": (1002, frame(n)) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping in fragments": (1002, frame(PING, b"a", final=False)),
    "a pong in fragments": (1002, frame(PONG, b"a", final=False)),
    "a close in fragments": (1002, frame(CLOSE, final=False)),
    "a ping of 126 bytes": (1002, frame(PING, b"x" * 126)),
    "a close of 126 bytes": (1002, close(1000, b"x" * 124)),
    "a short ping in the long form": (1002, frame(PING, b"x", width=2)),
    "nothing to continue": (1002, frame(CONTINUATION, b"a")),
    "nothing to continue any more": (1002, frame(CONTINUATION, final=False)),
    "a text inside a text": (1002, frame(TEXT, b"a", final=False) + frame(TEXT, b"b")),
    "a binary inside a text": (
        1002,
        frame(TEXT, b"a", final=False) + frame(BINARY, b"b", final=False),
    ),
    "125 bytes in two bytes of length": (1002, frame(TEXT, b"x" * 125, width=2)),
    "125 bytes in eight bytes of length": (1002, frame(TEXT, b"x" * 125, width=8)),
    "no bytes in two bytes of length": (1002, frame(TEXT, width=2)),
    "126 bytes in eight bytes of length": (1002, frame(TEXT, b"x" * 126, width=8)),
    "65535 bytes in eight bytes of length": (
        1002,
        b"\x81\xff" + (65535).to_bytes(8, "big"),
    ),
    "a length with the top bit set": (1002, b"\x81\xff\x80" + bytes(7)),
    "all bits of the length set": (1002, b"\x82\xff" + b"\xff" * 8),
    "a length over the limit": (1009, frame(TEXT, b"x" * (LIMIT + 1))),
    "the largest length there is": (1009, b"\x82\xff\x7f" + b"\xff" * 7),
    "65536 bytes": (1009, b"\x82\xff" + (65536).to_bytes(8, "big")),
    "fragments over the limit": (1009, fragments(BINARY, b"x" * LIMIT, b"x")),
    "many fragments over the limit": (1009, fragments(TEXT, *[b"x" * 100] * 11)),
    "not UTF-8": (1007, frame(TEXT, b"a\xff")),
    "half a character": (1007, frame(TEXT, "红".encode()[:2])),
    "half of a surrogate pair": (1007, frame(TEXT, b"\xed\xa0\x80")),
    "a character in too many bytes": (1007, frame(TEXT, b"\xc0\xaf")),
    "a character beyond Unicode": (1007, frame(TEXT, b"\xf4\x90\x80\x80")),
    "not UTF-8 over two fragments": (1007, fragments(TEXT, b"\xe7\xba", b"a")),
    "half a character at the end of fragments": (1007, fragments(TEXT, b"a", b"\xe7", b"")),
    "a reason that is not UTF-8": (1007, close(1000, b"\xff")),
    "a close of one byte": (1002, frame(CLOSE, b"\x03")),
    "a wrong code with a wrong reason": (1002, close(1005, b"\xff")),
}  # fmt: skip


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


@pytest.mark.parametrize(
    "sent",
    [sent for sent, _ in VALID.values()] + [sent for _, sent in INVALID.values()],
    ids=[*VALID, *INVALID],
)
def test_chunk_boundaries_do_not_change_the_messages(sent: bytes) -> None:
    sent = frame(TEXT, b"before") + sent
    expected = parse(sent)
    for at in range(len(sent) + 1):
        assert parse(sent[:at], sent[at:]) == expected
    assert parse(*(sent[i : i + 1] for i in range(len(sent)))) == expected


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999])
def test_valid_close_code_is_accepted(code: int) -> None:
    assert parse(close(code, b"why")) == [CloseMessage(code, "why")]


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_invalid_close_code_is_a_protocol_violation(code: int) -> None:
    assert violation_code(close(code, b"why")) == 1002


@pytest.mark.parametrize("size", [65535, 65536, 70001])
def test_message_of_exactly_the_limit_is_accepted(size: int) -> None:
    payload = os.urandom(size)
    assert parse(frame(BINARY, payload), limit=size) == [BinaryMessage(payload)]
    assert violation_code(frame(BINARY, payload), limit=size - 1) == 1009


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


# ---- another library


def open_client() -> ClientProtocol:
    """A client of the websockets library after the upgrade response."""
    client = ClientProtocol(parse_uri("ws://qlive/"), max_size=None)
    client.send_request(client.connect())
    client.data_to_send()
    client.receive_data(wire.upgrade_response(client.key))
    [response] = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None
    assert client.state is OPEN
    return client


def test_upgrade_response_has_the_key_of_the_standards_example_and_no_extensions() -> None:
    assert wire.upgrade_response("dGhlIHNhbXBsZSBub25jZQ==") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize("size", [0, 3, 126, 65536])
def test_parser_reads_the_messages_of_another_client(size: int) -> None:
    client, payload = open_client(), os.urandom(size)
    client.send_text(b"x" * size)
    client.send_binary(payload)
    client.send_binary(payload, fin=False)
    client.send_ping(b"?")
    client.send_continuation(payload, fin=True)
    client.send_pong(b"!")
    client.send_close(4001, "慢")
    assert parse(*client.data_to_send(), limit=2 * size) == [
        TextMessage("x" * size),
        BinaryMessage(payload),
        PingMessage(b"?"),
        BinaryMessage(payload + payload),
        PongMessage(b"!"),
        CloseMessage(4001, "慢"),
    ]


@pytest.mark.parametrize("data", [b"", bytes(range(125))])
def test_pong_is_read_by_another_client(data: bytes) -> None:
    client = open_client()
    client.receive_data(wire.pong_frame(data))
    events: Any = client.events_received()
    assert [(message.opcode, bytes(message.data)) for message in events] == [(Opcode.PONG, data)]


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
    client = open_client()
    client.receive_data(wire.close_frame(4001, reason))
    assert client.close_rcvd == Close(4001, fitting)
    assert client.parser_exc is None
    assert len(wire.close_frame(4001, reason)) <= 127


def test_close_without_a_reason_is_four_bytes() -> None:
    assert wire.close_frame(1000) == b"\x88\x02\x03\xe8"


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
