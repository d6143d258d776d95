import gc
import os
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.uri import parse_uri

from realtime import wire
from realtime.wire import Binary, Broken, Closing, Heard, Ping, Pong, Reader, Text
from tests.examples import example_settings

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
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def fragments(opcode: int, *payloads: bytes) -> bytes:
    last = len(payloads) - 1
    return b"".join(
        frame(CONTINUATION if i else opcode, payload, final=i == last)
        for i, payload in enumerate(payloads)
    )


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def told(heard: Iterable[Heard]) -> list[Any]:
    """Comparable: one exception is never equal to another."""
    return [(one.code, one.reason) if isinstance(one, Broken) else one for one in heard]


def read(*chunks: bytes, limit: int = LIMIT) -> list[Any]:
    reader = Reader(limit)
    return told(one for chunk in chunks for one in reader.feed(chunk))


def broken_with(sent: bytes, limit: int = LIMIT) -> int:
    """The code for what was sent, of which nothing was right."""
    [(code, reason)] = read(sent, limit=limit)
    assert reason
    assert len(wire.closing(code, reason)) == 4 + len(reason.encode())
    return int(code)


RIGHT = {
    "the standard's own example": (
        bytes.fromhex("818537fa213d7f9f4d5158"),
        [Text("Hello")],
    ),
    "text": (frame(TEXT, "红娘 🌹".encode()), [Text("红娘 🌹")]),
    "no text": (frame(TEXT), [Text("")]),
    "bytes": (frame(BINARY, b"\xff\x00"), [Binary(b"\xff\x00")]),
    "125 bytes": (frame(BINARY, b"x" * 125), [Binary(b"x" * 125)]),
    "126 bytes": (frame(BINARY, b"x" * 126), [Binary(b"x" * 126)]),
    "the limit": (frame(BINARY, b"x" * LIMIT), [Binary(b"x" * LIMIT)]),
    "a mask of zeros": (frame(TEXT, b"plain", key=bytes(4)), [Text("plain")]),
    "ping": (frame(PING, b"?" * 125), [Ping(b"?" * 125)]),
    "pong": (frame(PONG), [Pong(b"")]),
    "several": (
        frame(TEXT, b"a") + frame(PONG) + frame(TEXT, b"b"),
        [Text("a"), Pong(b""), Text("b")],
    ),
    "fragments": (fragments(TEXT, b"a", b"b", b"c"), [Text("abc")]),
    "binary fragments": (fragments(BINARY, b"\xff", b"\xfe"), [Binary(b"\xff\xfe")]),
    "empty fragments": (fragments(TEXT, b"", b"", b"a", b""), [Text("a")]),
    "a character over two fragments": (fragments(TEXT, b"\xe7\xba", b"\xa2"), [Text("红")]),
    "fragments up to the limit": (
        fragments(BINARY, b"x" * (LIMIT - 1), b"x"),
        [Binary(b"x" * LIMIT)],
    ),
    "control frames between fragments": (
        frame(TEXT, b"a", final=False) + frame(PING) + frame(PONG) + frame(CONTINUATION, b"b"),
        [Ping(b""), Pong(b""), Text("ab")],
    ),
    "a ping between fragments that are full": (
        frame(BINARY, b"x" * LIMIT, final=False) + frame(PING, b"?") + frame(CONTINUATION),
        [Ping(b"?"), Binary(b"x" * LIMIT)],
    ),
    "two messages in fragments": (fragments(TEXT, b"a", b"b") * 2, [Text("ab"), Text("ab")]),
    "close": (frame(CLOSE), [Closing(None, "")]),
    "close with a code": (close(1000), [Closing(1000, "")]),
    "close with a reason": (close(4001, "慢".encode()), [Closing(4001, "慢")]),
    "close between fragments": (frame(TEXT, final=False) + close(1001), [Closing(1001, "")]),
    "frames after a close": (close(1000) + frame(TEXT, b"late") + b"\xff", [Closing(1000, "")]),
}  # fmt: skip

WRONG = {
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


@pytest.mark.parametrize(("sent", "expected"), RIGHT.values(), ids=RIGHT)
def test_what_the_standard_allows_is_heard(sent: bytes, expected: list[Heard]) -> None:
    assert read(sent) == expected


@pytest.mark.parametrize(("code", "sent"), WRONG.values(), ids=WRONG)
def test_what_the_standard_forbids_is_answered_with_its_code(code: int, sent: bytes) -> None:
    assert broken_with(sent) == code


@pytest.mark.parametrize(("code", "sent"), WRONG.values(), ids=WRONG)
def test_what_was_right_before_a_bad_frame_is_heard_and_nothing_after_it(
    code: int, sent: bytes
) -> None:
    reader = Reader(LIMIT)
    before = frame(TEXT, b"before") + frame(PING, b"?")
    *right, broken = reader.feed(before + sent + frame(TEXT, b"after"))
    assert right == [Text("before"), Ping(b"?")]
    assert isinstance(broken, Broken)
    assert broken.code == code
    assert reader.feed(frame(TEXT, b"later")) == []
    assert reader.feed(sent) == []


@pytest.mark.parametrize(
    "sent",
    [sent for sent, _ in RIGHT.values()] + [sent for _, sent in WRONG.values()],
    ids=[*RIGHT, *WRONG],
)
def test_where_the_bytes_are_cut_makes_no_difference(sent: bytes) -> None:
    sent = frame(TEXT, b"before") + sent
    whole = read(sent)
    for at in range(len(sent) + 1):
        assert read(sent[:at], sent[at:]) == whole
    assert read(*(sent[i : i + 1] for i in range(len(sent)))) == whole


@pytest.mark.parametrize("at", range(1, 12))
def test_what_is_not_whole_waits(at: int) -> None:
    reader = Reader(LIMIT)
    sent = frame(TEXT, b"Hello!")
    assert reader.feed(sent[:at]) == []
    assert reader.feed(b"") == []
    assert reader.feed(sent[at:] + sent[:at]) == [Text("Hello!")]
    assert reader.feed(sent[at:]) == [Text("Hello!")]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999])
def test_a_closing_code_that_may_be_sent_is_heard(code: int) -> None:
    assert read(close(code, b"why")) == [Closing(code, "why")]


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_a_closing_code_that_may_not_be_sent_breaks_the_protocol(code: int) -> None:
    assert broken_with(close(code, b"why")) == 1002


@pytest.mark.parametrize("size", [65535, 65536, 70001])
def test_a_message_may_be_as_long_as_the_limit_says(size: int) -> None:
    payload = os.urandom(size)
    assert read(frame(BINARY, payload), limit=size) == [Binary(payload)]
    assert broken_with(frame(BINARY, payload), limit=size - 1) == 1009


def test_a_message_over_the_limit_is_refused_before_it_has_come() -> None:
    assert broken_with(frame(TEXT, b"x" * (LIMIT + 1))[:4]) == 1009
    assert broken_with(b"\x82\xff" + (2**40).to_bytes(8, "big")) == 1009
    assert broken_with(frame(BINARY, b"x"), limit=0) == 1009


def test_a_fragment_over_the_limit_is_refused_before_it_has_come() -> None:
    reader = Reader(LIMIT)
    assert reader.feed(frame(TEXT, b"x" * (LIMIT - 100), final=False)) == []
    [broken] = reader.feed(frame(CONTINUATION, b"x" * 101)[:2])
    assert isinstance(broken, Broken)
    assert broken.code == 1009


def test_as_many_fragments_as_are_allowed_make_a_message() -> None:
    sent = fragments(TEXT, *[b"x"] * wire.FRAGMENTS)
    assert read(sent, limit=10_000) == [Text("x" * wire.FRAGMENTS)]
    assert read(sent * 2, limit=10_000) == [Text("x" * wire.FRAGMENTS)] * 2


def test_fragments_that_never_end_are_cut_off() -> None:
    reader = Reader(LIMIT)
    assert reader.feed(frame(TEXT, final=False)) == []
    for _ in range(wire.FRAGMENTS - 1):
        assert reader.feed(frame(CONTINUATION, final=False)) == []
    [broken] = reader.feed(frame(CONTINUATION, final=False))
    assert isinstance(broken, Broken)
    assert broken.code == 1009


# ---- whatever is sent


MANY = example_settings(200)
PAYLOADS = st.binary(max_size=12) | st.binary(min_size=124, max_size=128)
CODES = st.integers(0, 65535) | st.sampled_from([1000, 1001, 1005, 1007, 3000, 4500])
MESSAGES = st.one_of(
    st.builds(frame, st.just(TEXT), st.text(max_size=50).map(str.encode)),
    st.builds(frame, st.sampled_from([BINARY, PING, PONG]), PAYLOADS),
    st.lists(PAYLOADS, min_size=2, max_size=5).map(lambda parts: fragments(BINARY, *parts)),
)
ODD = st.one_of(
    st.builds(frame, st.integers(0, 15), PAYLOADS, final=st.booleans(), key=st.just(KEY)),
    st.builds(frame, st.sampled_from([CONTINUATION, BINARY]), PAYLOADS, final=st.booleans()),
    st.builds(frame, st.just(BINARY), PAYLOADS, reserved=st.integers(0, 7)),
    st.builds(frame, st.just(BINARY), PAYLOADS, key=st.none() | st.binary(min_size=4, max_size=4)),
    st.builds(close, CODES, st.text(max_size=30).map(str.encode)),
)
STREAMS = st.lists(MESSAGES | MESSAGES | ODD, max_size=8).map(b"".join)


def cut(sent: bytes, places: list[int]) -> list[bytes]:
    at = sorted(place % (len(sent) + 1) for place in places)
    return [sent[a:b] for a, b in zip([0, *at], [*at, len(sent)], strict=True)]


@MANY
@given(STREAMS | st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_stream_cut_anywhere_is_heard_the_same(sent: bytes, places: list[int]) -> None:
    assert read(*cut(sent, places), limit=130) == read(sent, limit=130)


@MANY
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_no_bytes_raise_anything(chunks: list[bytes]) -> None:
    heard = read(*chunks, limit=256)
    ends = [isinstance(one, tuple | Closing) for one in heard]
    assert not any(ends[:-1])
    for code, _ in (one for one in heard if isinstance(one, tuple)):
        assert code in (1002, 1007, 1009)


@MANY
@given(st.lists(STREAMS | st.binary(max_size=20), max_size=6), st.data())
def test_no_damage_raises_anything(streams: list[bytes], data: st.DataObject) -> None:
    sent = bytearray(b"".join(streams))
    for at in data.draw(st.lists(st.integers(0, max(len(sent) - 1, 0)), max_size=4)):
        sent[at : at + 1] = data.draw(st.binary(max_size=2))
    for one in Reader(256).feed(bytes(sent)):
        assert isinstance(one, Heard)


@MANY
@given(st.binary(max_size=600), st.binary(min_size=4, max_size=4))
def test_any_mask_comes_off(payload: bytes, key: bytes) -> None:
    assert read(frame(BINARY, payload, key=key)) == [Binary(payload)]


# ---- what others make of it


def judged_by_others(sent: bytes) -> list[Any]:
    """The same stream as another server hears it; only the reasons are our own."""
    server = Protocol(SERVER, state=OPEN, max_size=None)
    server.receive_data(sent)
    heard: list[Any] = []
    parts = b""
    events: Any = server.events_received()
    for one in events:
        match one.opcode:
            case Opcode.PING:
                heard.append(Ping(bytes(one.data)))
            case Opcode.PONG:
                heard.append(Pong(bytes(one.data)))
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                parts += one.data
                if one.fin:
                    heard.append(Binary(parts))
                    parts = b""
    if server.close_rcvd:
        code = server.close_rcvd.code
        heard.append(Closing(None if code == 1005 else code, server.close_rcvd.reason))
    elif server.parser_exc:
        assert server.close_sent
        heard.append(server.close_sent.code)
    return heard


@MANY
@given(STREAMS)
@example(frame(CLOSE, b"\x00\x00\x9c"))
def test_every_stream_is_judged_as_others_judge_it(sent: bytes) -> None:
    ours: list[Any] = []
    for one in Reader(100_000).feed(sent):
        match one:
            case Text(text):
                ours.append(Binary(text.encode()))
            case Broken(code=code):
                ours.append(code)
            case _:
                ours.append(one)
    if 1007 in ours:  # others leave it to their caller to decode a text
        ours, theirs = ours[:-1], judged_by_others(sent)[: len(ours) - 1]
    else:
        theirs = judged_by_others(sent)
    if ours[-1:] == [1002] and theirs[-1:] == [1007]:
        ours[-1] = 1007  # a closing frame wrong twice: they look at its reason before its code
    assert ours == theirs


def welcomed() -> ClientProtocol:
    """A foreign client after our 101."""
    client = ClientProtocol(parse_uri("ws://qlive/"), max_size=None)
    client.send_request(client.connect())
    client.data_to_send()
    client.receive_data(wire.upgrade(client.key))
    [response] = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None
    assert client.state is OPEN
    return client


def test_the_standard_s_own_key_is_accepted() -> None:
    assert wire.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_an_upgrade_is_a_whole_response_and_no_more() -> None:
    assert wire.upgrade("dGhlIHNhbXBsZSBub25jZQ==") == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65535, 65536, 100_000])
def test_what_another_client_sends_is_heard(size: int) -> None:
    client, payload = welcomed(), os.urandom(size)
    client.send_text(b"x" * size)
    client.send_binary(payload)
    client.send_binary(payload, fin=False)
    client.send_ping(b"?")
    client.send_continuation(payload, fin=True)
    client.send_pong(b"!")
    client.send_close(4001, "慢")
    assert read(*client.data_to_send(), limit=2 * size) == [
        Text("x" * size),
        Binary(payload),
        Ping(b"?"),
        Binary(payload + payload),
        Pong(b"!"),
        Closing(4001, "慢"),
    ]


@pytest.mark.parametrize("data", [b"", b"?", bytes(range(125))])
def test_a_pong_is_read_by_another_client(data: bytes) -> None:
    client = welcomed()
    client.receive_data(wire.pong(data))
    events: Any = client.events_received()
    assert [(one.opcode, bytes(one.data)) for one in events] == [(Opcode.PONG, data)]


@pytest.mark.parametrize(
    ("reason", "fits"),
    [
        ("", ""),
        ("slow", "slow"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("红" * 41, "红" * 41),
        ("x" + "红" * 41, "x" + "红" * 40),
        ("xx" + "红" * 41, "xx" + "红" * 40),
        ("🌹" * 31, "🌹" * 30),
    ],
)
def test_a_close_is_read_by_another_client_with_what_fits_of_its_reason(
    reason: str, fits: str
) -> None:
    client = welcomed()
    client.receive_data(wire.closing(4001, reason))
    assert client.close_rcvd == Close(4001, fits)
    assert client.parser_exc is None
    assert len(wire.closing(4001, reason)) <= 127


def test_a_close_without_a_reason_is_four_bytes() -> None:
    assert wire.closing(1000) == b"\x88\x02\x03\xe8"


# ---- what it costs

NOISE = 8000
"""Bytes that whoever watches the tests may hold by himself."""


def held(grow: Callable[[], Any]) -> tuple[int, int]:
    """Bytes that are still held after `grow` while what it returns lives, and at the most.

    The least of three: the first call may fill a cache, and other threads allocate, too.
    """
    gc.collect()
    tracemalloc.start()
    try:
        tries = [_held_once(grow) for _ in range(3)]
    finally:
        tracemalloc.stop()
    return min(now for now, _ in tries), min(most for _, most in tries)


def _held_once(grow: Callable[[], Any]) -> tuple[int, int]:
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    kept = grow()
    now, most = tracemalloc.get_traced_memory()
    del kept
    return now - before, most - before


def test_an_idle_reader_is_small_whatever_it_has_heard() -> None:
    sent = fragments(TEXT, b"x" * 400, b"x" * 400) + frame(BINARY, b"x" * 900)

    def grow() -> list[Reader]:
        readers = [Reader(LIMIT) for _ in range(1000)]
        for reader in readers:
            assert len(reader.feed(sent[:700]) + reader.feed(sent[700:])) == 2
        return readers

    now, _ = held(grow)
    assert now < 100 * 1000 + NOISE


def test_a_reader_that_is_over_holds_nothing() -> None:
    begun = frame(TEXT, b"x" * 900, final=False)

    def grow() -> list[Any]:
        readers = [Reader(LIMIT) for _ in range(100)]
        heard = [r.feed(begun) + r.feed(b"\x80") + r.feed(b"\x00" * 5000) for r in readers]
        return [readers, heard]

    now, _ = held(grow)
    assert now < 100 * 800


def test_a_bad_frame_does_not_keep_what_was_sent() -> None:
    sent = frame(TEXT, b"\xff" * 900)
    now, _ = held(lambda: [Reader(LIMIT).feed(sent) for _ in range(100)])
    assert now < 100 * 700


@pytest.mark.parametrize("size", [0, 1, 63])
def test_tiny_fragments_weigh_no_more_than_their_bytes(size: int) -> None:
    more = frame(CONTINUATION, b"x" * size, final=False)

    def grow() -> Reader:
        reader = Reader(65_536)
        assert reader.feed(frame(BINARY, final=False)) == []
        for _ in range(wire.FRAGMENTS - 1):
            assert reader.feed(more) == []
        return reader

    now, most = held(grow)
    assert now < 1.2 * size * wire.FRAGMENTS + NOISE
    assert most < 3 * size * wire.FRAGMENTS + NOISE


def test_a_frame_that_comes_byte_by_byte_holds_no_more_than_the_limit() -> None:
    limit = 20_000
    sent = frame(BINARY, b"x" * limit)

    def grow() -> Reader:
        reader = Reader(limit)
        for i in range(len(sent) - 1):
            assert reader.feed(sent[i : i + 1]) == []
        return reader

    now, most = held(grow)
    assert now < 1.5 * limit
    assert most < 3 * limit  # while its buffer grows there are two


def test_what_was_read_does_not_stay_behind_a_rest() -> None:
    sent = frame(TEXT, b"x" * 900)

    def grow() -> Reader:
        reader = Reader(LIMIT)
        reader.feed(sent[:3])
        assert len(reader.feed(sent[3:] + sent * 200 + sent[:10])) == 201
        return reader

    now, _ = held(grow)
    assert now < NOISE


def bytes_of_a_frame(size: int) -> tuple[bytes, list[bytes]]:
    sent = frame(BINARY, bytes(size), key=b"\0\0\0\1")
    return sent[:-1000], [sent[i : i + 1] for i in range(len(sent) - 1000, len(sent) - 1)]


def fragments_of_a_message(size: int) -> tuple[bytes, list[bytes]]:
    return frame(BINARY, bytes(size), final=False), [frame(CONTINUATION, b"x", final=False)] * 1000


@pytest.mark.parametrize("pieces", [bytes_of_a_frame, fragments_of_a_message])
def test_a_piece_costs_the_same_however_much_waits_before_it(
    pieces: Callable[[int], tuple[bytes, list[bytes]]],
) -> None:
    """Copying 4 MB for every piece would cost a hundred times as much."""

    def seconds(size: int) -> float:
        reader = Reader(8_000_000)
        head, tail = pieces(size)
        assert reader.feed(head) == []
        started = time.process_time()
        heard = [reader.feed(piece) for piece in tail]
        spent = time.process_time() - started
        assert not any(heard)
        return spent

    assert seconds(4_000_000) < 20 * seconds(4_000)
