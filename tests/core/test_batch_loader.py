import asyncio
from collections.abc import Hashable, Sequence
from typing import Any

from core.batching import BatchLoader
from tests.support.waiting import run_ready_tasks

NAMES = {1: "one", 2: "two"}


class FakeStore:
    """Loads names once its gate is open; fails on a query with the key "broken"."""

    def __init__(self) -> None:
        self.queries: list[list[Hashable]] = []
        self.gate = asyncio.Event()
        self.loader: BatchLoader[str] = BatchLoader(self.load)

    async def load(self, keys: Sequence[Hashable]) -> dict[Hashable, str | Exception]:
        self.queries.append([*keys])
        await self.gate.wait()
        if "broken" in keys:
            raise ConnectionError
        found: dict[Any, str | Exception] = {key: NAMES[key] for key in keys if key in NAMES}
        return found | {key: KeyError(key) for key in keys if key == "wrong"}


async def test_requests_of_one_loop_turn_share_a_query_and_later_ones_read_again() -> None:
    store = FakeStore()
    store.gate.set()
    get, get_many = store.loader.get, store.loader.get_many
    found = await asyncio.gather(get(1), get_many([2, 3, 1]), get(2), get(3), get_many([]))
    assert found == ["one", ["two", None, "one"], "two", None, []]
    assert store.queries == [[1, 2, 3]]
    assert await get(1) == "one"
    assert store.queries == [[1, 2, 3], [1]]


async def test_requests_during_two_queries_wait_and_share_the_third() -> None:
    store = FakeStore()
    requests = []
    for key in (1, 2, 1, 3, 2):  # each in a turn of the loop of its own
        requests.append(store.loader.get(key))
        await run_ready_tasks()
    assert store.queries == [[1], [2]], "the first does not answer the third"
    store.gate.set()
    assert await asyncio.gather(*requests) == ["one", "two", "one", None, "two"]
    assert store.queries == [[1], [2], [1, 3, 2]]


async def test_error_of_a_query_reaches_its_requests_and_that_of_a_key_those_of_the_key() -> None:
    store = FakeStore()
    store.gate.set()
    get, get_many = store.loader.get, store.loader.get_many
    results = await asyncio.gather(get(1), get("broken"), get(2), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 3
    requests = [get(1), get("wrong"), get_many([1, "wrong"]), get_many([1, 3])]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [str, KeyError, KeyError, list]


async def test_cancelled_requests_do_not_affect_others() -> None:
    store = FakeStore()
    requests = [store.loader.get(key) for key in (1, 1, "wrong", "wrong")]
    await run_ready_tasks()
    for request in requests[::2]:
        request.cancel()
    store.gate.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    cancelled = asyncio.CancelledError
    assert [type(result) for result in results] == [cancelled, str, cancelled, KeyError]
    alone = store.loader.get(1)
    await asyncio.sleep(0)
    alone.cancel()
    assert await store.loader.get(2) == "two"
