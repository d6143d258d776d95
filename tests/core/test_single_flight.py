import asyncio
from collections.abc import Hashable

from core.batching import SingleFlight
from tests.support.waiting import run_ready_tasks


class SlowSource:
    """A value that is read slowly and can change meanwhile."""

    def __init__(self) -> None:
        self.value = 1
        self.reads: list[tuple[Hashable, ...]] = []
        self.gate = asyncio.Event()
        self.single_flight = SingleFlight(self.read)

    async def read(self, *key: Hashable) -> int:
        self.reads.append(key)
        value = self.value
        await self.gate.wait()
        return value

    def get_many(self, count: int, *key: Hashable) -> list[asyncio.Task[int]]:
        return [asyncio.ensure_future(self.single_flight.get(*key)) for _ in range(count)]


async def test_calls_of_one_loop_turn_share_a_read_and_calls_during_it_a_later_one() -> None:
    source = SlowSource()
    early = source.get_many(2)
    await run_ready_tasks()
    source.value = 2
    *late, cancelled = source.get_many(4)
    await run_ready_tasks()
    assert len(source.reads) == 1, "the next read waits for the one in flight"
    cancelled.cancel()
    source.gate.set()
    assert await asyncio.gather(*early, *late) == [1, 1, 2, 2, 2]
    assert len(source.reads) == 2


async def test_keys_are_read_separately_and_results_are_not_cached() -> None:
    source = SlowSource()
    source.gate.set()
    await asyncio.gather(*source.get_many(2, 1, "a"), *source.get_many(2, 2, "a"))
    assert sorted(source.reads, key=str) == [(1, "a"), (2, "a")]
    source.value = 3
    assert await source.single_flight.get(1, "a") == 3
