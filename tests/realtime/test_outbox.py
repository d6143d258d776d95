import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, StreamBufferFullError

from realtime.codes import Code
from realtime.outbox import Outbox
from tests.realtime.listening import until

BACKLOG = 64 * 1024


class Wire:
    """An outbox on a real socket, and the reader at its other end."""

    def __init__(self, backlog: int = BACKLOG) -> None:
        ours, self.reader = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.reader.setblocking(False)
        self.stream = IOStream(ours)
        self.closes: list[tuple[int, str]] = []
        self.outbox = Outbox("10000001", self.stream, backlog_bytes=backlog, close=self._close)

    def _close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes, with turns for the loop in between."""
        found = bytearray()

        def some() -> bool:
            with suppress(BlockingIOError):
                found.extend(self.reader.recv(1 << 20))
            return len(found) >= count

        await until(some)
        return bytes(found)


@pytest.fixture
def wire(io_loop: IOLoop) -> Iterator[Callable[..., Wire]]:
    wires: list[Wire] = []

    def make(backlog: int = BACKLOG) -> Wire:
        wires.append(Wire(backlog))
        return wires[-1]

    yield make
    for one in wires:
        one.stream.close()
        one.reader.close()


def stall(wire: Wire) -> bytes:
    """Send until the kernel takes no more; what was sent."""
    sent = b""
    while not wire.stream.writing():
        sent += (chunk := bytes([len(sent) % 251]) * 1000)
        wire.outbox.send(chunk)
    return sent


@pytest.mark.gen_test
async def test_a_ready_socket_gets_the_bytes_before_send_returns(
    wire: Callable[..., Wire],
) -> None:
    one = wire()
    one.outbox.send(b"hello")
    assert one.reader.recv(100) == b"hello"
    assert not one.stream.writing()


@pytest.mark.gen_test
async def test_what_the_kernel_takes_half_of_goes_on_right(wire: Callable[..., Wire]) -> None:
    one = wire(backlog=2_000_000)
    big = bytes(range(256)) * 4000
    one.outbox.send(big)
    assert one.stream.writing()
    one.outbox.send(b"then this")
    assert await one.read(len(big) + 9) == big + b"then this"


@pytest.mark.gen_test
async def test_the_backlog_keeps_its_order_and_the_socket_comes_first_again(
    wire: Callable[..., Wire],
) -> None:
    one = wire()
    sent = stall(one)
    late = [b"%06d" % n for n in range(500)]
    for frame in late:
        one.outbox.send(frame)
    expected = sent + b"".join(late)
    assert await one.read(len(expected)) == expected
    await until(lambda: not one.stream.writing())
    one.outbox.send(b"again")
    assert one.reader.recv(100) == b"again"


@pytest.mark.gen_test
async def test_who_does_not_read_is_cut_off_at_once_and_the_others_wait_for_nothing(
    wire: Callable[..., Wire],
) -> None:
    slow, quick = wire(), wire()
    stall(slow)
    began, sent = time.monotonic(), 0
    while not slow.outbox.closed:
        for one in (slow, quick):
            one.outbox.send(b"f" * 1000)
        assert quick.reader.recv(2000) == b"f" * 1000
        sent += 1000
        assert sent <= BACKLOG + 1000
    assert slow.stream.closed()
    assert not quick.outbox.closed
    assert time.monotonic() - began < 1


@pytest.mark.gen_test
async def test_a_backlog_that_is_just_full_is_kept(wire: Callable[..., Wire]) -> None:
    one = wire()
    stall(one)
    room = BACKLOG - len(one.stream._write_buffer)
    one.outbox.send(b"x" * room)
    assert not one.outbox.closed
    one.outbox.send(b"x")
    assert one.outbox.closed


@pytest.mark.gen_test
async def test_sending_to_a_closed_socket_is_silent(wire: Callable[..., Wire]) -> None:
    one = wire()
    one.stream.close()
    one.outbox.send(b"hello")
    one.outbox.beat(b"beat")
    one.outbox.bye(Code.RESTART)
    assert one.outbox.closed
    assert one.closes == []


@pytest.mark.gen_test
async def test_a_reader_that_has_gone_closes_the_socket(wire: Callable[..., Wire]) -> None:
    one = wire()
    one.reader.close()
    one.outbox.send(b"hello")
    assert one.outbox.closed


@pytest.mark.gen_test
async def test_a_heartbeat_comes_with_a_ping(wire: Callable[..., Wire]) -> None:
    one = wire()
    one.outbox.beat(b"beat")
    assert one.reader.recv(100) == b"beat" + b"\x89\x00"


@pytest.mark.gen_test
async def test_a_goodbye_is_said_and_then_the_socket_closed_with_the_code(
    wire: Callable[..., Wire],
) -> None:
    one = wire()
    one.outbox.bye(Code.RESTART, 1234)
    said = one.reader.recv(1000)
    assert b'"code":4000' in said
    assert b'"retry_ms":1234' in said
    assert one.closes == [(4000, "restart")]


@pytest.mark.gen_test
async def test_nothing_follows_a_goodbye(wire: Callable[..., Wire]) -> None:
    one = wire()
    one.outbox.bye(Code.ENDED)
    assert one.outbox.closed
    one.reader.recv(1000)
    one.outbox.send(b"more")
    one.outbox.beat(b"beat")
    one.outbox.bye(Code.RESTART)
    with pytest.raises(BlockingIOError):
        one.reader.recv(1000)
    assert len(one.closes) == 1


@pytest.mark.gen_test
async def test_a_close_frame_that_no_longer_fits_cuts_off_and_does_not_raise(
    wire: Callable[..., Wire],
) -> None:
    def full(*_args: object) -> None:
        raise StreamBufferFullError

    one = wire()
    one.outbox._close = full
    one.outbox.bye(Code.ENDED)
    assert one.stream.closed()


@pytest.mark.gen_test
async def test_a_socket_may_begin_with_more_than_a_backlog(wire: Callable[..., Wire]) -> None:
    one = wire(backlog=1024)
    room = bytes(range(256)) * 1024
    one.outbox.begin(room)
    one.outbox.send(b"and this")
    assert await one.read(len(room) + 8) == room + b"and this"
    assert not one.outbox.closed
