import asyncio
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tornado.ioloop import IOLoop

from realtime.close_codes import CloseCode
from realtime.frames import frame
from realtime.wire import close_frame
from tests.support.outbox_sockets import BACKLOG, OutboxPair
from tests.support.waiting import until

MakePair = Callable[..., OutboxPair]


@pytest.fixture
def make_pair(io_loop: IOLoop) -> Iterator[MakePair]:
    pairs: list[OutboxPair] = []

    def make(backlog: int = BACKLOG) -> OutboxPair:
        pairs.append(OutboxPair(backlog))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


# ---- direct sends


@pytest.mark.gen_test(timeout=10)
async def test_writable_socket_receives_the_bytes_before_send_returns(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.outbox.send(b"hello")
    assert pair.reader.recv(100) == b"hello"
    assert not pair.outbox.has_backlog


@pytest.mark.gen_test(timeout=10)
async def test_partial_write_continues_where_it_stopped(make_pair: MakePair) -> None:
    pair = make_pair(backlog=2_000_000)
    data = bytes(range(256)) * 4000
    pair.outbox.send(data)
    assert pair.outbox.has_backlog
    pair.outbox.send(b"then this")
    assert await pair.read(len(data) + 9) == data + b"then this"


@pytest.mark.gen_test(timeout=10)
async def test_backlog_is_sent_in_order_before_direct_sends_resume(make_pair: MakePair) -> None:
    pair = make_pair()
    sent = pair.stall()
    chunks = [b"%06d" % n for n in range(500)]
    for chunk in chunks:
        pair.outbox.send(chunk)
    expected = sent + b"".join(chunks)
    assert await pair.read(len(expected)) == expected
    await until(lambda: not pair.outbox.has_backlog)
    pair.outbox.send(b"again")
    assert pair.reader.recv(100) == b"again"


@pytest.mark.gen_test(timeout=20)
async def test_intermittent_reader_gets_every_byte_in_order(make_pair: MakePair) -> None:
    """Sends and reads of many sizes split the writes at every position."""
    pair = make_pair(backlog=10_000_000)
    sent, received = bytearray(), bytearray()
    for n in range(300):
        data = bytes([n % 256]) * (n * 37 % 9000 + 1)
        sent += data
        pair.outbox.send(data)
        if n % 3 == 0:
            await asyncio.sleep(0)
        if n % 7 == 0:
            received += pair.read_available()
    received += await pair.read(len(sent) - len(received))
    assert received == sent


# ---- slow clients


@pytest.mark.gen_test(timeout=10)
async def test_slow_client_is_disconnected_without_delaying_others(
    make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.CLOSE_TIMEOUT_SECONDS", 60)
    slow, quick = make_pair(), make_pair()
    slow.stall()
    started_at, sent = time.monotonic(), 0
    while not slow.outbox.closed:
        for pair in (slow, quick):
            pair.outbox.send(b"f" * 1000)
        assert quick.reader.recv(2000) == b"f" * 1000
        sent += 1000
        assert sent <= BACKLOG + 1000
    assert slow.outbox.close_code == CloseCode.SLOW
    assert not quick.outbox.closed
    assert time.monotonic() - started_at < 30


@pytest.mark.gen_test(timeout=10)
async def test_full_backlog_is_kept_and_one_byte_more_disconnects(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.stall()
    pair.outbox.send(b"x" * (BACKLOG - pair.pending_bytes))
    assert not pair.outbox.closed
    pair.outbox.send(b"x")
    assert pair.outbox.closed


@pytest.mark.gen_test(timeout=10)
async def test_disconnected_slow_client_can_still_read_the_bye_frame(make_pair: MakePair) -> None:
    pair = make_pair()
    sent = pair.stall()
    while not pair.outbox.closed:
        pair.outbox.send(b"y" * 1000)
    received = await pair.read_until(close_frame(4001, "slow"))
    assert received.startswith(sent), "the frame in progress is completed"
    bye, code = pair.parse_close(received[len(sent) :])
    assert (bye["code"], bye["reason"], bye["reconnect"], code) == (4001, "slow", True, 4001)


@pytest.mark.gen_test(timeout=20)
async def test_slow_client_that_never_reads_is_closed_after_the_timeout(
    make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.CLOSE_TIMEOUT_SECONDS", 0.1)
    pair = make_pair()
    pair.stall()
    started_at = time.monotonic()
    pair.outbox.disconnect_slow()
    assert not pair.stream.closed()
    await until(pair.stream.closed)
    assert time.monotonic() - started_at >= 0.09


@pytest.mark.gen_test(timeout=10)
async def test_disconnecting_a_slow_client_drops_its_backlog(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.stall()
    for _ in range(50):
        pair.outbox.send(b"y" * 1000)
    size_before = pair.pending_bytes
    pair.outbox.disconnect_slow()
    assert pair.pending_bytes < size_before - 45_000


@pytest.mark.gen_test(timeout=10)
async def test_outbox_with_a_write_pending_too_long_is_stalled(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.outbox.send(b"read at once")
    pair.read_available()
    in_an_hour = time.monotonic() + 3600
    assert not pair.outbox.is_stalled(in_an_hour, 10), "nothing is pending"
    pair.stall()
    assert not pair.outbox.is_stalled(time.monotonic(), 10)
    assert pair.outbox.is_stalled(time.monotonic() + 11, 10)
    pair.outbox.disconnect_slow()
    assert not pair.outbox.is_stalled(in_an_hour, 10), "it is closing already"


@pytest.mark.gen_test(timeout=20)
async def test_stall_time_counts_from_the_oldest_unsent_data(make_pair: MakePair) -> None:
    pair = make_pair(backlog=10_000_000)
    pair.stall()
    before = time.monotonic()
    pair.outbox.send(b"z" * 500_000)
    after = time.monotonic()
    await until(lambda: bool(pair.read_available()) and pair.outbox._waits_since >= before)
    assert pair.outbox.has_backlog
    assert not pair.outbox.is_stalled(before + 10, 10)
    assert pair.outbox.is_stalled(after + 10.001, 10)


@pytest.mark.gen_test(timeout=30)
async def test_hundred_stalled_sockets_share_one_copy_of_the_backlog(make_pair: MakePair) -> None:
    pairs = [make_pair(backlog=10_000_000) for _ in range(100)]
    for pair in pairs:
        pair.stall()
    frames = [bytes([n]) * 10_000 for n in range(50)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for data in frames:
        for pair in pairs:
            pair.outbox.send(data)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(pair.pending_bytes for pair in pairs) > 50_000_000
    assert after - before < 2_000_000, "copies would be 50 MB"


# ---- first frames


@pytest.mark.gen_test(timeout=10)
async def test_first_frames_may_exceed_the_backlog_limit(make_pair: MakePair) -> None:
    pair = make_pair(backlog=1024)
    first_frames = bytes(range(256)) * 1024
    pair.outbox.begin(first_frames)
    pair.outbox.send(b"and this")
    assert await pair.read(len(first_frames) + 8) == first_frames + b"and this"
    assert not pair.outbox.closed


@pytest.mark.gen_test(timeout=10)
async def test_frames_behind_large_first_frames_count_towards_the_backlog_limit(
    make_pair: MakePair,
) -> None:
    pair = make_pair(backlog=1024)
    pair.outbox.begin(bytes(300_000))
    pair.outbox.send(b"x" * 1000)
    assert not pair.outbox.closed
    pair.outbox.send(b"x" * 300_000)
    assert pair.outbox.close_code == CloseCode.SLOW
    assert set(await pair.read_until_closed()) == {0}, "no bye frame in the middle of a frame"


@pytest.mark.gen_test(timeout=10)
async def test_backlog_limit_applies_once_the_first_frames_are_sent(make_pair: MakePair) -> None:
    pair = make_pair(backlog=20_000)
    pair.outbox.begin(bytes(300_000))
    await pair.read(300_000)
    await until(lambda: not pair.outbox.has_backlog)
    pair.stall()
    pair.outbox.send(b"x" * 20_001)
    assert pair.outbox.close_code == CloseCode.SLOW


@pytest.mark.gen_test(timeout=10)
async def test_first_frames_sent_at_once_do_not_raise_the_backlog_limit(
    make_pair: MakePair,
) -> None:
    pair = make_pair(backlog=1000)
    pair.outbox.begin(b"o" * 4000)
    assert not pair.outbox.has_backlog
    assert pair.read_available() == b"o" * 4000
    pair.stall()
    pair.outbox.send(b"x" * 1001)
    assert pair.outbox.close_code == CloseCode.SLOW


# ---- closing


@pytest.mark.gen_test(timeout=10)
async def test_close_sends_a_bye_and_a_close_frame_with_the_code(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.outbox.close(CloseCode.RESTART, 1234)
    bye, code = pair.parse_close(pair.read_available())
    assert (bye["code"], bye["retry_ms"], code) == (4000, 1234, 4000)
    assert pair.outbox.close_code == CloseCode.RESTART


@pytest.mark.gen_test(timeout=10)
async def test_final_close_code_has_no_retry_delay(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.outbox.close(CloseCode.REPLACED, 1234)
    bye, code = pair.parse_close(pair.read_available())
    assert (bye["retry_ms"], bye["reconnect"], code) == (0, False, 4509)


@pytest.mark.gen_test(timeout=10)
async def test_no_frame_follows_a_close(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.outbox.close(CloseCode.ENDED)
    assert pair.outbox.closed
    pair.parse_close(pair.read_available())
    pair.outbox.send(b"more")
    pair.outbox.begin(b"room")
    pair.outbox.close(CloseCode.RESTART)
    pair.outbox.send_close(b"part")
    assert pair.read_available() == b""
    assert pair.outbox.close_code == CloseCode.ENDED


@pytest.mark.gen_test(timeout=10)
async def test_no_frame_follows_a_queued_close_frame(make_pair: MakePair) -> None:
    pair = make_pair()
    sent = pair.stall()
    pair.outbox.send(b"before")
    last_frame = close_frame(1002, "not masked")
    pair.outbox.send_close(last_frame)
    pair.outbox.send(b"after")
    pair.outbox.close(CloseCode.SLOW)
    assert await pair.read_until(last_frame) == sent + b"before" + last_frame
    await until(lambda: not pair.outbox.has_backlog)
    assert pair.read_available() == b""
    assert pair.outbox.close_code is None


@pytest.mark.gen_test(timeout=20)
async def test_client_that_never_answers_a_close_is_disconnected(
    make_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.CLOSE_TIMEOUT_SECONDS", 0.1)
    pair = make_pair()
    pair.outbox.close(CloseCode.RESTART)
    assert not pair.stream.closed()
    await until(pair.stream.closed)


@pytest.mark.gen_test(timeout=10)
async def test_sending_to_a_closed_socket_does_nothing(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.stream.close()
    pair.outbox.send(b"hello")
    pair.outbox.begin(b"room")
    pair.outbox.disconnect_slow()
    pair.outbox.close(CloseCode.RESTART)
    assert pair.outbox.closed
    assert pair.outbox.close_code is None, "the socket was closed before any code was sent"


@pytest.mark.gen_test(timeout=10)
async def test_send_after_the_reader_has_gone_closes_the_outbox(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.reader.close()
    pair.outbox.send(b"hello")
    assert pair.outbox.closed


@pytest.mark.gen_test(timeout=10)
async def test_reader_leaving_during_a_backlog_closes_the_socket(make_pair: MakePair) -> None:
    pair = make_pair()
    pair.stall()
    pair.outbox.send(frame(b"{}"))
    pair.reader.close()
    await until(pair.stream.closed)
    pair.outbox.send(frame(b"{}"))
    assert pair.outbox.closed
