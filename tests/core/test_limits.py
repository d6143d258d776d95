"""Slots, named locks, and token buckets."""

import asyncio

import pytest

from core.errors import TryAgain
from core.limits import ConcurrencyLimit, NamedLocks, Rate, TokenBuckets
from tests.support.names import Names
from tests.support.waiting import run_ready_tasks


async def test_limited_number_of_tasks_run_and_the_next_starts_when_a_slot_is_free() -> None:
    limit, started, finish = ConcurrencyLimit(limit=2), asyncio.Queue[int](), asyncio.Event()

    async def occupy(number: int) -> None:
        async with limit:
            started.put_nowait(number)
            await finish.wait()

    tasks = [asyncio.create_task(occupy(number)) for number in range(3)]
    assert [await started.get(), await started.get()] == [0, 1]
    assert started.empty()
    finish.set()
    assert await started.get() == 2
    await asyncio.gather(*tasks)


async def test_a_waiter_that_times_out_takes_no_slot_and_an_exception_releases_one() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)

    async def wait_in_vain() -> None:
        async with limit, limit:
            pytest.fail("the only slot is taken")

    for _ in range(2):  # the exception has released the first slot
        with pytest.raises(TryAgain):
            await wait_in_vain()
    async with limit:
        assert limit.waiting == 0


class LockLog:
    """Records who entered and left locked sections, in order."""

    def __init__(self, timeout: float = 20) -> None:
        self.locks = NamedLocks(timeout)
        self.entries: list[str] = []

    async def enter(self, user: str, *names: str, gate: asyncio.Event | None = None) -> None:
        async with self.locks.lock(*names):
            self.entries.append(f"{user} in")
            if gate:
                await gate.wait()
            self.entries.append(f"{user} out")


async def test_tasks_hold_a_name_one_at_a_time_in_order_of_arrival() -> None:
    log, gate = LockLog(), asyncio.Event()
    first = asyncio.create_task(log.enter("a", "room", gate=gate))
    second, third, cancelled = [asyncio.create_task(log.enter(user, "room")) for user in "bcd"]
    await run_ready_tasks()
    await log.enter("e", "other room")
    assert log.entries == ["a in", "e in", "e out"]
    cancelled.cancel()
    gate.set()
    await asyncio.gather(first, second, third)
    assert log.entries[3:] == ["a out", "b in", "b out", "c in", "c out"]
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_several_names_are_locked_in_one_order_without_deadlock() -> None:
    log = LockLog()
    await asyncio.gather(
        *(log.enter("a", "x", "y", "x") for _ in range(5)),
        *(log.enter("b", "y", "x") for _ in range(5)),
    )
    assert len(log.entries) == 20
    assert all(
        entered.endswith("in") and left == entered.replace("in", "out")
        for entered, left in zip(log.entries[::2], log.entries[1::2], strict=True)
    )


async def test_wait_for_a_lock_times_out_with_try_again() -> None:
    log, gate = LockLog(timeout=0.01), asyncio.Event()
    first = asyncio.create_task(log.enter("a", "y", gate=gate))
    await run_ready_tasks()
    with pytest.raises(TryAgain):
        await log.enter("b", "x", "y")
    assert log.entries == ["a in"]
    await log.enter("c", "x")
    gate.set()
    await first
    await log.enter("d", "y")
    assert log.entries == ["a in", "c in", "c out", "a out", "d in", "d out"]


async def test_lock_is_released_after_an_exception_and_removed_when_unused() -> None:
    locks, names = NamedLocks(timeout=1), Names()

    async def fail(n: int) -> None:
        async with locks.lock(names.new("x"), names.new(f"{n}")):
            assert names.stored_count == 2
            raise ValueError("inside")

    for n in range(9):
        with pytest.raises(ValueError, match="inside"):
            await fail(n)
    assert names.stored_count == 0


def count_taken(buckets: TokenBuckets, key: str, now: float, attempts: int) -> int:
    return sum(not buckets.take(key, now) for _ in range(attempts))


def test_full_bucket_gives_its_burst_at_once_and_then_one_token_per_interval() -> None:
    buckets = TokenBuckets(Rate(2, 10))
    assert count_taken(buckets, "a", 100.0, 50) == 10
    assert [count_taken(buckets, "a", now, 50) for now in (100.4, 100.5, 101.0, 103.0)] == [
        *(0, 1, 1, 4)
    ]


def test_empty_bucket_returns_the_seconds_until_the_next_token() -> None:
    buckets = TokenBuckets(Rate(0.1, 1))
    assert buckets.take("a", 100.0) == 0
    assert buckets.take("a", 104.0) == pytest.approx(6)
    assert buckets.take("a", 110.0) == 0


def test_refused_attempts_do_not_delay_the_next_token_of_any_key() -> None:
    buckets = TokenBuckets(Rate(1, 3))
    assert count_taken(buckets, "a", 100.0, 1000) == count_taken(buckets, "b", 100.0, 9) == 3
    assert count_taken(buckets, "a", 101.0, 9) == 1
    assert count_taken(buckets, "a", 1e6, 9) == 3, "never more than its burst"


def test_token_given_back_can_be_taken_again() -> None:
    buckets = TokenBuckets(Rate(0.1, 2))
    count_taken(buckets, "a", 100.0, 9)
    buckets.give_back("a")
    assert count_taken(buckets, "a", 100.0, 9) == 1
    buckets.give_back("unknown")
    assert count_taken(buckets, "unknown", 100.0, 9) == 2


def test_rate_zero_is_no_limit_and_stores_nothing() -> None:
    buckets, names = TokenBuckets(Rate(0, 5)), Names()
    assert count_taken(buckets, names.new("a"), 100.0, 1000) == 1000
    assert names.stored_count == 0


def test_flood_of_keys_keeps_the_most_recently_used_buckets_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.limits.MAX_BUCKETS", 100)
    buckets, names = TokenBuckets(Rate(0.001, 2)), Names()
    for n in range(10_000):
        buckets.take(names.new(f"{n}"), 100.0)
        buckets.take("busy", 100.0 + n * 1000)
    assert names.stored_count == 99
    assert count_taken(buckets, "busy", 100.0 + 9_999 * 1000, 9) == 1
    assert count_taken(buckets, "0", 100.0, 9) == 2
