import asyncio

import pytest

from core.errors import TryAgain
from core.limits import NamedLocks
from tests.support.names import Names
from tests.support.waiting import run_ready_tasks


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
