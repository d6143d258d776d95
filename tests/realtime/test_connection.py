"""What a connection answers to the frames that it receives: bytes in, bytes out, no server."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from websockets.protocol import CLIENT, OPEN, Protocol

from handlers.caller import Caller
from tests.realtime.wire import BINARY, CLOSE, PING, PONG, TEXT, framed

FRAME_BYTES, PER_SECOND = 1000, 10
PROTOCOL, PAYLOAD, TOO_BIG = 1002, 1007, 1009
BAD: list[str | bytes] = [
    *("", "{", "7", "[]", "null", '{"type":"sing"}', '{"type":"ping"}', "[" * 900),
    *('{"type":"ping","n":"\\ud800"}', '{"type":"ping","n":NaN}', '{"type":"ping","n":1e999}'),
    *('{"type":["ping"],"n":1}', '{"type":"auth","token":"again"}', b"\x00\xff", b"{}"),
]


class Line:
    """A connection and what its other end receives."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self.stream = IOStream(ours)
        limits = SimpleNamespace(
            backlog_bytes=65536, frame_bytes=FRAME_BYTES, frames_per_second=PER_SECOND
        )
        parts: Any = SimpleNamespace(settings=SimpleNamespace(limits=limits))
        self._connection = Caller(parts, self.stream)
        self._parser = Protocol(CLIENT, state=OPEN)

    def send(self, *sent: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of every frame that comes back at once."""
        for data in sent:
            self._connection._hear(data)
        with suppress(BlockingIOError):
            while answered := self._theirs.recv(65536):
                self._parser.receive_data(answered)
        events: Any = self._parser.events_received()
        return [(int(one.opcode), bytes(one.data)) for one in events]

    def close(self) -> None:
        self.stream.close()
        self._theirs.close()


@pytest.fixture
def line(io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """All within one second, however slow the machine is."""
    monkeypatch.setattr("handlers.caller.time", SimpleNamespace(monotonic=lambda: 7.0))
    line = Line()
    yield line
    line.close()


def ping(n: int) -> bytes:
    return framed(TEXT, json.dumps({"type": "ping", "n": n}).encode())


def pong(n: int) -> tuple[int, bytes]:
    return TEXT, b'{"type":"pong","n":%d}' % n


def goodbye(code: int, answers: list[tuple[int, bytes]]) -> bool:
    """Whether these are a bye and a close with that code, and nothing else."""
    (said, bye), (ended, closing) = answers
    assert (said, ended) == (TEXT, CLOSE)
    return (json.loads(bye)["code"], int.from_bytes(closing[:2], "big")) == (code, code)


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("n", [0, 7, -1, 1690000000123])
async def test_a_ping_is_echoed(line: Line, n: int) -> None:
    assert line.send(ping(n)) == [pong(n)]


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("bad", BAD)
async def test_the_third_bad_frame_is_a_goodbye(line: Line, bad: str | bytes) -> None:
    frame = framed(TEXT, bad.encode()) if isinstance(bad, str) else framed(BINARY, bad)
    assert line.send(frame, frame, ping(1)) == [pong(1)]
    assert goodbye(4500, line.send(frame))


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x81\x02{}", PROTOCOL),
        (framed(TEXT, b"\xff\xfe{}"), PAYLOAD),
        (framed(TEXT, b"x" * (FRAME_BYTES + 1)), TOO_BIG),
    ],
)
async def test_bytes_that_are_no_websocket_are_closed_after_what_was_right_before_them(
    line: Line, wrong: bytes, code: int
) -> None:
    """Which bytes are wrong, and with which code: test_wire.py."""
    answered, (opcode, closing) = line.send(ping(1) + wrong + ping(2))
    assert answered == pong(1)
    assert (opcode, int.from_bytes(closing[:2], "big")) == (CLOSE, code)
    assert closing[2:]
    assert line.send(ping(3)) == []


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize(
    ("sent", "answered"),
    [(b"", 1000), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001), (b"\x0f\xa0", 4000)],
)
async def test_a_close_is_answered_and_the_connection_ended(
    line: Line, sent: bytes, answered: int
) -> None:
    assert line.send(framed(CLOSE, sent)) == [(CLOSE, answered.to_bytes(2, "big"))]
    assert line.stream.closed()


@pytest.mark.gen_test(timeout=10)
async def test_as_many_frames_as_allowed_are_answered_in_every_second(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now in (7.0, 8.0, 9.5):
        monkeypatch.setattr("handlers.caller.time.monotonic", lambda now=now: now)
        assert line.send(*map(ping, range(PER_SECOND))) == [*map(pong, range(PER_SECOND))]


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("opcode", [PING, PONG, TEXT])
async def test_one_frame_more_than_allowed_is_a_goodbye_whatever_its_kind(
    line: Line, opcode: int
) -> None:
    few = 2 if opcode == TEXT else PER_SECOND  # three of these are bad frames
    for n in range(PER_SECOND - few):
        line.send(ping(n))
    answered = line.send(*[framed(opcode, b"")] * few)
    assert answered == ([(PONG, b"")] * few if opcode == PING else [])
    assert goodbye(4029, line.send(ping(0)))
    assert line.send(ping(1)) == []
