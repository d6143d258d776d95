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
        self.broken = False

    async def read(self, *key: Hashable) -> int:
        self.reads.append(key)
        value = self.value
        await self.gate.wait()
        if self.broken:
            raise ConnectionError
        return value


def get_many(
    single_flight: SingleFlight[int], count: int, *key: Hashable
) -> list[asyncio.Task[int]]:
    return [asyncio.ensure_future(single_flight.get(*key)) for _ in range(count)]


async def test_calls_of_one_loop_turn_share_one_read() -> None:
    source = SlowSource()
    tasks = get_many(SingleFlight(source.read), 5)
    source.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 5
    assert len(source.reads) == 1


async def test_calls_during_a_read_share_a_later_read() -> None:
    source = SlowSource()
    single_flight = SingleFlight(source.read)
    early = get_many(single_flight, 2)
    await run_ready_tasks()
    source.value = 2
    late = get_many(single_flight, 3)
    await run_ready_tasks()
    assert len(source.reads) == 1, "the next read waits for the one in flight"
    source.gate.set()
    assert await asyncio.gather(*early, *late) == [1, 1, 2, 2, 2]
    assert len(source.reads) == 2


async def test_keys_are_read_separately_and_results_are_not_cached() -> None:
    source = SlowSource()
    source.gate.set()
    single_flight = SingleFlight(source.read)
    await asyncio.gather(*get_many(single_flight, 2, 1, "a"), *get_many(single_flight, 2, 2, "a"))
    assert sorted(source.reads, key=str) == [(1, "a"), (2, "a")]
    source.value = 3
    assert await single_flight.get(1, "a") == 3
    assert not single_flight._callers._queues


async def test_error_reaches_all_callers_and_the_next_call_reads_again() -> None:
    source = SlowSource()
    source.gate.set()
    source.broken = True
    single_flight = SingleFlight(source.read)
    results = await asyncio.gather(*get_many(single_flight, 2), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 2
    source.broken = False
    assert await single_flight.get() == 1


async def test_cancelled_caller_does_not_affect_others() -> None:
    source = SlowSource()
    single_flight = SingleFlight(source.read)
    cancelled, waiting = get_many(single_flight, 2)
    await run_ready_tasks()
    cancelled.cancel()
    source.gate.set()
    assert await waiting == 1
    assert cancelled.cancelled()
