import asyncio

import pytest

from core.errors import TryAgain
from core.limits import ConcurrencyLimit


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


async def test_waiter_that_times_out_takes_no_slot() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)
    async with limit.slot():
        with pytest.raises(TryAgain):
            async with limit.slot():
                pytest.fail("the only slot is taken")
    async with limit.slot():
        pass


async def test_slot_is_released_after_an_exception() -> None:
    limit = ConcurrencyLimit(limit=1, timeout=0.05)
    with pytest.raises(ZeroDivisionError):
        async with limit.slot():
            raise ZeroDivisionError
    async with limit.slot():
        pass
