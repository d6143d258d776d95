import asyncio
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tornado.ioloop import IOLoop

from realtime.codes import Code
from realtime.frames import frame
from realtime.wire import closing
from tests.realtime.listening import until
from tests.realtime.sockets import BACKLOG, Pair

Make = Callable[..., Pair]


@pytest.fixture
def pair(io_loop: IOLoop) -> Iterator[Make]:
    pairs: list[Pair] = []

    def make(backlog: int = BACKLOG) -> Pair:
        pairs.append(Pair(backlog))
        return pairs[-1]

    yield make
    for one in pairs:
        one.close()


# ---- the socket first


@pytest.mark.gen_test(timeout=10)
async def test_a_ready_socket_gets_the_bytes_before_send_returns(pair: Make) -> None:
    one = pair()
    one.outbox.send(b"hello")
    assert one.reader.recv(100) == b"hello"
    assert not one.outbox.waits


@pytest.mark.gen_test(timeout=10)
async def test_what_the_kernel_takes_half_of_goes_on_right(pair: Make) -> None:
    one = pair(backlog=2_000_000)
    big = bytes(range(256)) * 4000
    one.outbox.send(big)
    assert one.outbox.waits
    one.outbox.send(b"then this")
    assert await one.read(len(big) + 9) == big + b"then this"


@pytest.mark.gen_test(timeout=10)
async def test_the_backlog_keeps_its_order_and_the_socket_comes_first_again(pair: Make) -> None:
    one = pair()
    sent = one.stall()
    late = [b"%06d" % n for n in range(500)]
    for each in late:
        one.outbox.send(each)
    expected = sent + b"".join(late)
    assert await one.read(len(expected)) == expected
    await until(lambda: not one.outbox.waits)
    one.outbox.send(b"again")
    assert one.reader.recv(100) == b"again"


@pytest.mark.gen_test(timeout=20)
async def test_a_reader_who_comes_and_goes_gets_every_byte_in_order(pair: Make) -> None:
    """Reads of all sizes between sends of all sizes: partial writes at every place."""
    one = pair(backlog=10_000_000)
    sent, heard = bytearray(), bytearray()
    for n in range(300):
        data = bytes([n % 256]) * (n * 37 % 9000 + 1)
        sent += data
        one.outbox.send(data)
        if n % 3 == 0:
            await asyncio.sleep(0)
        if n % 7 == 0:
            heard += one.now()
    heard += await one.read(len(sent) - len(heard))
    assert heard == sent


@pytest.mark.gen_test(timeout=10)
async def test_a_heartbeat_comes_with_a_ping(pair: Make) -> None:
    one = pair()
    one.outbox.beat(b"beat")
    assert one.reader.recv(100) == b"beat" + b"\x89\x00"


# ---- too slow


@pytest.mark.gen_test(timeout=10)
async def test_who_does_not_read_is_cut_off_at_once_and_the_others_wait_for_nothing(
    pair: Make,
) -> None:
    slow, quick = pair(), pair()
    slow.stall()
    began, sent = time.monotonic(), 0
    while not slow.outbox.closed:
        for one in (slow, quick):
            one.outbox.send(b"f" * 1000)
        assert quick.reader.recv(2000) == b"f" * 1000
        sent += 1000
        assert sent <= BACKLOG + 1000
    assert slow.outbox.went == Code.SLOW
    assert not quick.outbox.closed
    assert time.monotonic() - began < 1


@pytest.mark.gen_test(timeout=10)
async def test_a_backlog_that_is_just_full_is_kept(pair: Make) -> None:
    one = pair()
    one.stall()
    one.outbox.send(b"x" * (BACKLOG - one.waiting))
    assert not one.outbox.closed
    one.outbox.send(b"x")
    assert one.outbox.closed


@pytest.mark.gen_test(timeout=10)
async def test_who_reads_on_after_being_cut_off_learns_why(pair: Make) -> None:
    one = pair()
    sent = one.stall()
    while not one.outbox.closed:
        one.outbox.send(b"y" * 1000)
    heard = await one.read_to(closing(4001, "slow"))
    assert heard.startswith(sent), "what was under way comes whole: a frame must not be torn"
    said, code = one.goodbye(heard[len(sent) :])
    assert (said["code"], said["reason"], said["reconnect"], code) == (4001, "slow", True, 4001)


@pytest.mark.gen_test(timeout=20)
async def test_who_does_not_read_on_is_closed_all_the_same(
    pair: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.GOODBYE_SECONDS", 0.1)
    one = pair()
    one.stall()
    began = time.monotonic()
    one.outbox.cut()
    assert not one.stream.closed()
    await until(one.stream.closed)
    assert time.monotonic() - began >= 0.09


@pytest.mark.gen_test(timeout=10)
async def test_what_waits_is_forgotten_when_somebody_is_cut_off(pair: Make) -> None:
    one = pair()
    one.stall()
    for _ in range(50):
        one.outbox.send(b"y" * 1000)
    full = one.waiting
    one.outbox.cut()
    assert one.waiting < full - 45_000


@pytest.mark.gen_test(timeout=10)
async def test_something_unsent_for_too_long_is_late(pair: Make) -> None:
    one = pair()
    one.outbox.send(b"read at once")
    one.now()
    hour = time.monotonic() + 3600
    assert not one.outbox.late(hour, 10), "nothing waits"
    one.stall()
    assert not one.outbox.late(time.monotonic(), 10)
    assert one.outbox.late(time.monotonic() + 11, 10)
    one.outbox.cut()
    assert not one.outbox.late(hour, 10), "it is going already"


@pytest.mark.gen_test(timeout=20)
async def test_who_reads_on_is_as_late_as_the_oldest_that_still_waits(pair: Make) -> None:
    one = pair(backlog=10_000_000)
    one.stall()
    before = time.monotonic()
    one.outbox.send(b"z" * 500_000)
    after = time.monotonic()
    await until(lambda: bool(one.now()) and one.outbox._waits_since >= before)
    assert one.outbox.waits
    assert not one.outbox.late(before + 10, 10)
    assert one.outbox.late(after + 10.001, 10)


@pytest.mark.gen_test(timeout=30)
async def test_a_hundred_stalled_sockets_hold_one_copy_of_what_waits(pair: Make) -> None:
    pairs = [pair(backlog=10_000_000) for _ in range(100)]
    for one in pairs:
        one.stall()
    frames = [bytes([n]) * 10_000 for n in range(50)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for data in frames:
        for one in pairs:
            one.outbox.send(data)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(one.waiting for one in pairs) > 50_000_000
    assert after - before < 2_000_000, "copies would be 50 MB"


# ---- beginnings


@pytest.mark.gen_test(timeout=10)
async def test_a_socket_may_begin_with_more_than_a_backlog(pair: Make) -> None:
    one = pair(backlog=1024)
    room = bytes(range(256)) * 1024
    one.outbox.begin(room)
    one.outbox.send(b"and this")
    assert await one.read(len(room) + 8) == room + b"and this"
    assert not one.outbox.closed


@pytest.mark.gen_test(timeout=10)
async def test_what_piles_up_behind_a_large_beginning_is_a_backlog_like_any_other(
    pair: Make,
) -> None:
    one = pair(backlog=1024)
    one.outbox.begin(bytes(300_000))
    one.outbox.send(b"x" * 1000)
    assert not one.outbox.closed
    one.outbox.send(b"x" * 300_000)
    assert one.outbox.went == Code.SLOW
    assert set(await one.read_out()) == {0}, "no goodbye in the middle of a frame"


@pytest.mark.gen_test(timeout=10)
async def test_only_the_beginning_may_be_large(pair: Make) -> None:
    one = pair(backlog=20_000)
    one.outbox.begin(bytes(300_000))
    await one.read(300_000)
    await until(lambda: not one.outbox.waits)
    one.stall()
    one.outbox.send(b"x" * 20_001)
    assert one.outbox.went == Code.SLOW


@pytest.mark.gen_test(timeout=10)
async def test_a_beginning_that_the_kernel_took_at_once_leaves_no_larger_backlog(
    pair: Make,
) -> None:
    one = pair(backlog=1000)
    one.outbox.begin(b"o" * 4000)
    assert not one.outbox.waits
    assert one.now() == b"o" * 4000
    one.stall()
    one.outbox.send(b"x" * 1001)
    assert one.outbox.went == Code.SLOW


# ---- goodbye


@pytest.mark.gen_test(timeout=10)
async def test_a_goodbye_is_said_and_then_the_socket_closed_with_the_code(pair: Make) -> None:
    one = pair()
    one.outbox.bye(Code.RESTART, 1234)
    said, code = one.goodbye(one.now())
    assert (said["code"], said["retry_ms"], code) == (4000, 1234, 4000)
    assert one.outbox.went == Code.RESTART


@pytest.mark.gen_test(timeout=10)
async def test_whoever_is_not_to_come_back_is_given_no_time_for_it(pair: Make) -> None:
    one = pair()
    one.outbox.bye(Code.REPLACED, 1234)
    said, code = one.goodbye(one.now())
    assert (said["retry_ms"], said["reconnect"], code) == (0, False, 4509)


@pytest.mark.gen_test(timeout=10)
async def test_nothing_follows_a_goodbye(pair: Make) -> None:
    one = pair()
    one.outbox.bye(Code.ENDED)
    assert one.outbox.closed
    one.goodbye(one.now())
    one.outbox.send(b"more")
    one.outbox.beat(b"beat")
    one.outbox.begin(b"room")
    one.outbox.bye(Code.RESTART)
    one.outbox.part(b"part")
    assert one.now() == b""
    assert one.outbox.went == Code.ENDED


@pytest.mark.gen_test(timeout=10)
async def test_nothing_follows_a_close_frame_that_still_waits(pair: Make) -> None:
    one = pair()
    sent = one.stall()
    one.outbox.send(b"before")
    last = closing(1002, "not masked")
    one.outbox.part(last)
    one.outbox.send(b"after")
    one.outbox.bye(Code.SLOW)
    assert await one.read_to(last) == sent + b"before" + last
    await until(lambda: not one.outbox.waits)
    assert one.now() == b""
    assert one.outbox.went is None


@pytest.mark.gen_test(timeout=20)
async def test_who_never_answers_a_goodbye_is_closed(
    pair: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.outbox.GOODBYE_SECONDS", 0.1)
    one = pair()
    one.outbox.bye(Code.RESTART)
    assert not one.stream.closed()
    await until(one.stream.closed)


@pytest.mark.gen_test(timeout=10)
async def test_sending_to_a_closed_socket_is_silent(pair: Make) -> None:
    one = pair()
    one.stream.close()
    one.outbox.send(b"hello")
    one.outbox.beat(b"beat")
    one.outbox.begin(b"room")
    one.outbox.cut()
    one.outbox.bye(Code.RESTART)
    assert one.outbox.closed
    assert one.outbox.went is None, "they were gone before we said anything"


@pytest.mark.gen_test(timeout=10)
async def test_a_reader_that_has_gone_closes_the_socket(pair: Make) -> None:
    one = pair()
    one.reader.close()
    one.outbox.send(b"hello")
    assert one.outbox.closed


@pytest.mark.gen_test(timeout=10)
async def test_a_reader_that_goes_while_something_waits_closes_the_socket(pair: Make) -> None:
    one = pair()
    one.stall()
    one.outbox.send(frame(b"{}"))
    one.reader.close()
    await until(one.stream.closed)
    one.outbox.send(frame(b"{}"))
    assert one.outbox.closed
