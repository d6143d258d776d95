import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from tornado.ioloop import IOLoop

from realtime.frames import CloseCode, frame
from realtime.socket_writer import SocketWriter
from realtime.wire import close_frame
from tests.support.waiting import until
from tests.support.writer_sockets import BACKLOG, WriterPair

MakePair = Callable[..., WriterPair]


@pytest.fixture
def make_pair(io_loop: IOLoop) -> Iterator[MakePair]:
    pairs: list[WriterPair] = []

    def make(backlog: int = BACKLOG) -> WriterPair:
        pairs.append(WriterPair(backlog))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


# ---- direct sends


async def test_intermittent_reader_gets_every_byte_in_order(make_pair: MakePair) -> None:
    """Sends and reads of many sizes split the writes at every position."""
    pair = make_pair(backlog=10_000_000)
    sent, received = bytearray(), bytearray()
    for n in range(300):
        data = bytes([n % 256]) * (n * 37 % 9000 + 1)
        sent += data
        pair.writer.send(data)
        if n % 3 == 0:
            await asyncio.sleep(0)
        if n % 7 == 0:
            received += pair.read_available()
    received += await pair.read(len(sent) - len(received))
    assert received == sent
    await until(lambda: not pair.writer.has_backlog)
    pair.writer.send(b"at once")
    assert pair.reader.recv(100) == b"at once"


# ---- slow clients


async def test_full_backlog_is_kept_and_one_byte_more_disconnects(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.stall()
    pair.writer.send(b"x" * (BACKLOG - pair.writer.pending_bytes))
    assert not pair.writer.closed
    pair.writer.send(b"x")
    assert pair.writer.close_code == CloseCode.SLOW


async def test_slow_client_can_still_read_the_bye_in_place_of_its_backlog(
    make_pair: MakePair,
) -> None:
    pair = make_pair()
    sent = pair.stall()
    while not pair.writer.closed:
        pair.writer.send(b"y" * 1000)
    received = await pair.read_until(close_frame(4001, "slow"))
    assert received.startswith(sent), "the frame in progress is completed"
    bye, code = pair.parse_close(received[len(sent) :])
    assert (bye["code"], bye["reason"], bye["reconnect"], code) == (4001, "slow", True, 4001)
    assert 100 <= bye["retry_ms"] <= 1500, "189 reconnects in half a second: centrifuge-js #408"


@pytest.mark.parametrize(
    "end",
    [lambda writer: writer.disconnect_slow(), lambda writer: writer.close(CloseCode.RESTART)],
    ids=["slow", "closed"],
)
async def test_client_that_does_not_answer_a_close_is_cut_off_after_the_timeout(
    make_pair: MakePair, monkeypatch: pytest.MonkeyPatch, end: Callable[[SocketWriter], None]
) -> None:
    monkeypatch.setattr("realtime.socket_writer.CLOSE_TIMEOUT_SECONDS", 0.1)
    pair = make_pair()
    pair.stall()
    started_at = time.monotonic()
    end(pair.writer)
    assert not pair.stream.closed()
    await until(pair.stream.closed)
    assert time.monotonic() - started_at >= 0.09


async def test_writer_with_a_write_pending_too_long_is_stalled(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.writer.send(b"read at once")
    pair.read_available()
    in_an_hour = time.monotonic() + 3600
    assert not pair.writer.is_stalled(in_an_hour, 10), "nothing is pending"
    pair.stall()
    assert not pair.writer.is_stalled(time.monotonic(), 10)
    assert pair.writer.is_stalled(time.monotonic() + 11, 10)
    pair.writer.disconnect_slow()
    assert not pair.writer.is_stalled(in_an_hour, 10), "it is closing already"


async def test_stall_time_counts_from_the_oldest_unsent_data(make_pair: MakePair) -> None:
    pair = make_pair(backlog=10_000_000)
    pair.stall()
    before = time.monotonic()
    pair.writer.send(b"z" * 500_000)
    after = time.monotonic()
    await until(lambda: pair.read_available() and not pair.writer.is_stalled(before + 10, 10))
    assert pair.writer.has_backlog
    assert pair.writer.is_stalled(after + 10.001, 10)


# ---- first frames


async def test_first_frames_may_exceed_the_backlog_limit(make_pair: MakePair) -> None:
    pair = make_pair(backlog=1024)
    first_frames = bytes(range(256)) * 1024
    pair.writer.begin(first_frames)
    pair.writer.send(b"and this")
    assert await pair.read(len(first_frames) + 8) == first_frames + b"and this"
    assert not pair.writer.closed


async def test_frames_behind_large_first_frames_count_towards_the_backlog_limit(
    make_pair: MakePair,
) -> None:
    pair = make_pair(backlog=1024)
    pair.writer.begin(bytes(300_000))
    pair.writer.send(b"x" * 1000)
    assert not pair.writer.closed
    pair.writer.send(b"x" * 300_000)
    assert pair.writer.close_code == CloseCode.SLOW
    assert set(await pair.read_until_closed()) == {0}, "no bye frame in the middle of a frame"


@pytest.mark.parametrize("size", [4_000, 300_000], ids=["at once", "through the backlog"])
async def test_backlog_limit_applies_after_the_first_frames_are_sent(
    make_pair: MakePair, size: int
) -> None:
    pair = make_pair(backlog=20_000)
    pair.writer.begin(bytes(size))
    assert pair.writer.has_backlog == (size > 4_000)
    await pair.read(size)
    await until(lambda: not pair.writer.has_backlog)
    pair.stall()
    pair.writer.send(b"x" * 20_001)
    assert pair.writer.close_code == CloseCode.SLOW


# ---- closing


@pytest.mark.parametrize(("code", "retry_ms"), [(CloseCode.RESTART, 1234), (CloseCode.REPLACED, 0)])
async def test_close_sends_a_bye_with_the_delay_if_any_and_a_close_frame_and_nothing_more(
    make_pair: MakePair, code: CloseCode, retry_ms: int
) -> None:
    pair = make_pair()
    pair.writer.close(code, 1234)
    assert pair.writer.closed
    bye, sent_code = pair.parse_close(pair.read_available())
    assert (bye["code"], bye["retry_ms"], sent_code) == (code, retry_ms, code)
    assert bye["reconnect"] == bool(retry_ms)
    pair.writer.send(b"more")
    pair.writer.begin(b"room")
    pair.writer.close(CloseCode.ENDED)
    pair.writer.send_close(b"part")
    assert pair.read_available() == b""
    assert pair.writer.close_code == code


async def test_no_frame_follows_a_queued_close_frame(make_pair: MakePair) -> None:
    pair = make_pair()
    sent = pair.stall()
    pair.writer.send(b"before")
    last_frame = close_frame(1002, "not masked")
    pair.writer.send_close(last_frame)
    pair.writer.send(b"after")
    pair.writer.close(CloseCode.SLOW)
    assert await pair.read_until(last_frame) == sent + b"before" + last_frame
    await until(lambda: not pair.writer.has_backlog)
    assert pair.read_available() == b""
    assert pair.writer.close_code is None


async def test_sending_to_a_closed_socket_does_nothing(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.stream.close()
    pair.writer.send(b"hello")
    pair.writer.begin(b"room")
    pair.writer.disconnect_slow()
    pair.writer.close(CloseCode.RESTART)
    assert pair.writer.closed
    assert pair.writer.close_code is None, "the socket was closed before any code was sent"


async def test_writer_closes_when_its_reader_has_gone(make_pair: MakePair) -> None:
    direct, behind = make_pair(), make_pair()
    direct.reader.close()
    direct.writer.send(b"hello")
    assert direct.writer.closed
    behind.stall()
    behind.writer.send(frame(b"{}"))
    behind.reader.close()
    await until(behind.stream.closed)
    behind.writer.send(frame(b"{}"))
    assert behind.writer.closed
