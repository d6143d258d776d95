import asyncio

import pytest

from rooms.locks import Locks
from rooms.refusals import TryAgain

gen_test = pytest.mark.gen_test(timeout=20)


class Visits:
    """Who is inside, and everything that happened, in order."""

    def __init__(self, locks: Locks) -> None:
        self.locks = locks
        self.seen: list[str] = []

    async def visit(self, who: str, *names: str, gate: asyncio.Event | None = None) -> None:
        async with self.locks.hold(*names):
            self.seen.append(f"{who} in")
            if gate:
                await gate.wait()
            self.seen.append(f"{who} out")


async def a_moment() -> None:
    """Everybody who can go on does so."""
    for _ in range(10):
        await asyncio.sleep(0)


@gen_test
async def test_one_at_a_time_holds_a_name_in_the_order_in_which_they_came() -> None:
    visits, gate = Visits(Locks()), asyncio.Event()
    first = asyncio.create_task(visits.visit("a", "room", gate=gate))
    others = [asyncio.create_task(visits.visit(who, "room")) for who in "bc"]
    await a_moment()
    assert visits.seen == ["a in"]
    gate.set()
    await asyncio.gather(first, *others)
    assert visits.seen == ["a in", "a out", "b in", "b out", "c in", "c out"]


@gen_test
async def test_another_name_does_not_wait() -> None:
    visits, gate = Visits(Locks()), asyncio.Event()
    first = asyncio.create_task(visits.visit("a", "one", gate=gate))
    await a_moment()
    await visits.visit("b", "two")
    assert visits.seen == ["a in", "b in", "b out"]
    gate.set()
    await first


@gen_test
async def test_several_names_are_taken_in_one_order_and_nobody_waits_for_ever() -> None:
    visits = Visits(Locks())
    await asyncio.gather(
        *(visits.visit("a", "x", "y") for _ in range(5)),
        *(visits.visit("b", "y", "x") for _ in range(5)),
    )
    assert len(visits.seen) == 20
    assert all(
        entered.endswith("in") and left == entered.replace("in", "out")
        for entered, left in zip(visits.seen[::2], visits.seen[1::2], strict=True)
    )


@gen_test
async def test_a_name_given_twice_is_held_once() -> None:
    visits = Visits(Locks(patience=1))
    await visits.visit("a", "x", "x")
    assert visits.seen == ["a in", "a out"]


@gen_test
async def test_whoever_waits_too_long_is_asked_to_try_again() -> None:
    visits, gate = Visits(Locks(patience=0.01)), asyncio.Event()
    first = asyncio.create_task(visits.visit("a", "y", gate=gate))
    await a_moment()
    with pytest.raises(TryAgain):
        await visits.visit("b", "x", "y")
    assert visits.seen == ["a in"]
    await visits.visit("c", "x")
    gate.set()
    await first
    await visits.visit("d", "y")
    assert visits.seen == ["a in", "c in", "c out", "a out", "d in", "d out"]


@gen_test
async def test_a_failure_inside_lets_the_next_one_in() -> None:
    locks = Locks(patience=1)
    with pytest.raises(ValueError, match="inside"):
        async with locks.hold("x"):
            raise ValueError("inside")
    await Visits(locks).visit("a", "x")


@gen_test
async def test_one_who_is_cancelled_while_waiting_leaves_the_lock_to_the_others() -> None:
    visits, gate = Visits(Locks(patience=5)), asyncio.Event()
    first = asyncio.create_task(visits.visit("a", "x", gate=gate))
    second = asyncio.create_task(visits.visit("b", "x"))
    third = asyncio.create_task(visits.visit("c", "x"))
    await a_moment()
    second.cancel()
    gate.set()
    await asyncio.gather(first, third)
    assert visits.seen == ["a in", "a out", "c in", "c out"]
    with pytest.raises(asyncio.CancelledError):
        await second


@gen_test
async def test_locks_that_nobody_holds_are_forgotten() -> None:
    locks = Locks()
    for n in range(100):
        async with locks.hold(f"room:{n}"):
            assert len(locks._locks) == 1
    assert len(locks._locks) == 0
