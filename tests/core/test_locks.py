import asyncio

import pytest

from core.errors import TryAgain
from core.locks import NamedLocks
from tests.support.waiting import run_ready_tasks


class LockLog:
    """Records who entered and left locked sections, in order."""

    def __init__(self, locks: NamedLocks) -> None:
        self.locks = locks
        self.entries: list[str] = []

    async def enter(self, user: str, *names: str, gate: asyncio.Event | None = None) -> None:
        async with self.locks.hold(*names):
            self.entries.append(f"{user} in")
            if gate:
                await gate.wait()
            self.entries.append(f"{user} out")


async def test_tasks_hold_a_name_one_at_a_time_in_order_of_arrival() -> None:
    log, gate = LockLog(NamedLocks()), asyncio.Event()
    first = asyncio.create_task(log.enter("a", "room", gate=gate))
    others = [asyncio.create_task(log.enter(user, "room")) for user in "bc"]
    await run_ready_tasks()
    assert log.entries == ["a in"]
    gate.set()
    await asyncio.gather(first, *others)
    assert log.entries == ["a in", "a out", "b in", "b out", "c in", "c out"]


async def test_other_names_do_not_wait() -> None:
    log, gate = LockLog(NamedLocks()), asyncio.Event()
    first = asyncio.create_task(log.enter("a", "one", gate=gate))
    await run_ready_tasks()
    await log.enter("b", "two")
    assert log.entries == ["a in", "b in", "b out"]
    gate.set()
    await first


async def test_several_names_are_locked_in_one_order_without_deadlock() -> None:
    log = LockLog(NamedLocks())
    await asyncio.gather(
        *(log.enter("a", "x", "y") for _ in range(5)),
        *(log.enter("b", "y", "x") for _ in range(5)),
    )
    assert len(log.entries) == 20
    assert all(
        entered.endswith("in") and left == entered.replace("in", "out")
        for entered, left in zip(log.entries[::2], log.entries[1::2], strict=True)
    )


async def test_repeated_name_is_locked_once() -> None:
    log = LockLog(NamedLocks(timeout=1))
    await log.enter("a", "x", "x")
    assert log.entries == ["a in", "a out"]


async def test_wait_for_a_lock_times_out_with_try_again() -> None:
    log, gate = LockLog(NamedLocks(timeout=0.01)), asyncio.Event()
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


async def test_lock_is_released_after_an_exception() -> None:
    locks = NamedLocks(timeout=1)
    with pytest.raises(ValueError, match="inside"):
        async with locks.hold("x"):
            raise ValueError("inside")
    await LockLog(locks).enter("a", "x")


async def test_waiter_that_is_cancelled_passes_the_lock_on() -> None:
    log, gate = LockLog(NamedLocks(timeout=5)), asyncio.Event()
    first = asyncio.create_task(log.enter("a", "x", gate=gate))
    second = asyncio.create_task(log.enter("b", "x"))
    third = asyncio.create_task(log.enter("c", "x"))
    await run_ready_tasks()
    second.cancel()
    gate.set()
    await asyncio.gather(first, third)
    assert log.entries == ["a in", "a out", "c in", "c out"]
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_unused_locks_are_removed() -> None:
    locks = NamedLocks()
    for n in range(100):
        async with locks.hold(f"room:{n}"):
            assert len(locks._locks) == 1
    assert len(locks._locks) == 0
