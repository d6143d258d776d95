import asyncio

import pytest

from core.errors import TryAgain
from core.limits import ConcurrencyLimit, ConcurrencyLimits


@pytest.mark.gen_test(timeout=20)
async def test_limited_number_of_tasks_run_and_the_next_starts_when_a_slot_is_free() -> None:
    limit, started, finish = ConcurrencyLimit(limit=2), asyncio.Queue[int](), asyncio.Event()

    async def occupy(number: int) -> None:
        async with limit.slot():
            started.put_nowait(number)
            await finish.wait()

    tasks = [asyncio.create_task(occupy(number)) for number in range(3)]
    assert [await started.get(), await started.get()] == [0, 1]
    assert started.empty()
    finish.set()
    assert await started.get() == 2
    await asyncio.gather(*tasks)


@pytest.mark.gen_test(timeout=20)
async def test_waiter_that_times_out_takes_no_slot() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)
    async with limit.slot():
        with pytest.raises(TryAgain):
            async with limit.slot():
                pytest.fail("the only slot is taken")
    async with limit.slot():
        pass


@pytest.mark.gen_test(timeout=20)
async def test_slot_is_released_after_an_exception() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)
    with pytest.raises(ZeroDivisionError):
        async with limit.slot():
            raise ZeroDivisionError
    async with limit.slot():
        pass


@pytest.mark.gen_test(timeout=20)
async def test_each_key_has_slots_of_its_own_and_unused_keys_are_forgotten() -> None:
    limits = ConcurrencyLimits(1)
    assert limits.take("a")
    assert limits.take("b")
    assert not limits.take("a")
    first, second = (asyncio.ensure_future(limits.wait("a")) for _ in range(2))
    await asyncio.sleep(0)
    assert limits.waiting("a") == 2
    limits.release("a")
    assert not limits.take("a"), "the slot goes to who has waited longest"
    await first
    assert not second.done()
    limits.release("a")
    await second
    limits.release("b")
    limits.release("a")
    assert (len(limits), limits.waiting("a")) == (0, 0)
    assert limits.take("a")


@pytest.mark.gen_test(timeout=20)
async def test_waiter_for_a_key_that_times_out_takes_no_slot() -> None:
    limits = ConcurrencyLimits(1, timeout=0.05)
    assert limits.take("a")
    with pytest.raises(TryAgain):
        await limits.wait("a")
    assert limits.waiting("a") == 0
    limits.release("a")
    assert len(limits) == 0


@pytest.mark.gen_test(timeout=20)
async def test_cancelled_waiters_pass_their_slot_on() -> None:
    """Cancelled before the slot is free, in the same moment, and after it was handed over."""
    limits = ConcurrencyLimits(1)
    assert limits.take("a")
    early, skipped, late, last = (asyncio.ensure_future(limits.wait("a")) for _ in range(4))
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.wait([early])
    assert limits.waiting("a") == 3
    skipped.cancel()
    limits.release("a")  # to `late`, past `skipped`, which is still in the queue
    late.cancel()
    await last
    assert early.cancelled()
    assert skipped.cancelled()
    assert late.cancelled()
    limits.release("a")
    assert (len(limits), limits.waiting("a")) == (0, 0)
