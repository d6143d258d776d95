"""Reads and writes of many requests with few calls."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from core.batching import BatchLoader, RequestBatcher, SingleFlight
from core.errors import TryAgain
from tests.support.names import Names
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


ROOM, OTHER = 1, 2


class FakeServer:
    """Answers requests in capitals once its gate is open; fails on a batch with "broken"."""

    def __init__(self, max_batch: int = 100, patience: float = 20) -> None:
        self.batcher: RequestBatcher[str, str] = RequestBatcher(self.serve, max_batch, patience)
        self.served: list[tuple[int, list[str]]] = []
        """(room, batch) in order."""
        self._gates: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def serve(self, room: int, batch: Sequence[str]) -> list[str]:
        self.served.append((room, [*batch]))
        await self._gates[room].wait()
        if "broken" in batch:
            raise ValueError("broken")
        return [request.upper() for request in batch]

    async def submit(self, *requests: str, room: int = ROOM) -> list[asyncio.Task[str]]:
        """One after another; the first is in flight when the second is submitted."""
        tasks = []
        for request in requests:
            tasks.append(asyncio.ensure_future(self.batcher.submit(room, request)))
            await run_ready_tasks()
        return tasks

    def open(self, room: int = ROOM) -> None:
        """Answers requests of the room without delay from now on."""
        self._gates[room].set()

    @property
    def batches(self) -> list[list[str]]:
        return [batch for _, batch in self.served]


async def test_requests_during_a_batch_form_the_next_batch_in_order() -> None:
    server = FakeServer()
    tasks = await server.submit("a", "b", "c", "b")
    assert server.batches == [["a"]]
    server.open()
    assert await asyncio.gather(*tasks) == ["A", "B", "C", "B"]
    assert server.batches == [["a"], ["b", "c", "b"]]
    assert await server.batcher.submit(ROOM, "d") == "D"
    assert server.batches[2:] == [["d"]]


async def test_requests_of_one_loop_turn_form_a_batch_at_once() -> None:
    server = FakeServer()
    server.open()
    tasks = [asyncio.ensure_future(server.batcher.submit(ROOM, request)) for request in "abc"]
    assert await asyncio.gather(*tasks) == ["A", "B", "C"]
    assert server.batches == [["a", "b", "c"]]


async def test_batch_size_is_limited() -> None:
    server = FakeServer(max_batch=3)
    tasks = await server.submit(*"abcdefgh")
    server.open()
    assert await asyncio.gather(*tasks) == [*"ABCDEFGH"]
    assert server.batches == [["a"], [*"bcd"], [*"efg"], ["h"]]


async def test_keys_do_not_wait_for_each_other() -> None:
    server = FakeServer()
    tasks, other_tasks = await server.submit("a", "b"), await server.submit("c", "d", room=OTHER)
    server.open(OTHER)
    assert await asyncio.gather(*other_tasks) == ["C", "D"]
    assert not any(task.done() for task in tasks)
    server.open()
    assert await asyncio.gather(*tasks) == ["A", "B"]
    assert server.served == [(ROOM, ["a"]), (OTHER, ["c"]), (OTHER, ["d"]), (ROOM, ["b"])]


async def test_exception_reaches_all_requests_of_its_batch_only() -> None:
    server = FakeServer(max_batch=2)
    tasks = await server.submit("a", "broken", "c", "d")
    server.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [repr(result) for result in results] == ["'A'", *["ValueError('broken')"] * 2, "'D'"]
    assert server.batches == [["a"], ["broken", "c"], ["d"]]


async def test_cancelled_requests_are_executed_and_do_not_affect_others() -> None:
    server = FakeServer()
    tasks = await server.submit("a", "b", "c")
    for task in tasks[:2]:  # one in flight, one queued
        task.cancel()
    server.open()
    assert await tasks[2] == "C"
    assert all(task.cancelled() for task in tasks[:2])
    assert server.batches == [["a"], ["b", "c"]]
    (broken,) = await server.submit("broken", room=OTHER)
    broken.cancel()
    server.open(OTHER)
    with suppress(asyncio.CancelledError):
        await broken
    assert await server.batcher.submit(OTHER, "b") == "B"


async def test_empty_queues_are_removed() -> None:
    async def serve(_name: str, batch: Sequence[str]) -> Sequence[str]:
        assert names.stored_count == 1
        return batch

    batcher, names = RequestBatcher[str, str](serve, 100), Names()
    assert await batcher.submit(names.new("room"), "a") == "a"
    await run_ready_tasks()
    assert names.stored_count == 0


async def test_queued_request_times_out_and_one_in_flight_does_not() -> None:
    server = FakeServer(patience=0.05)
    in_flight, queued = await server.submit("a", "b")
    with pytest.raises(TryAgain):
        await queued
    assert not in_flight.done()
    server.open()
    assert await in_flight == "A"
    assert server.batches == [["a"]], "the request that timed out is not executed"


async def test_cancelled_serving_task_fails_its_requests_with_try_again() -> None:
    server, others = FakeServer(), asyncio.all_tasks()
    tasks = await server.submit("a", "b")
    (serving_task,) = asyncio.all_tasks() - {*others, *tasks}
    serving_task.cancel()
    for task in tasks:
        with pytest.raises(TryAgain):
            await task
    server.open()
    assert await server.batcher.submit(ROOM, "c") == "C"


async def test_concurrent_calls_of_a_key_share_a_read_that_begins_after_them() -> None:
    reads: list[tuple[Hashable, ...]] = []
    gate = asyncio.Event()

    async def read(*key: Hashable) -> int:
        reads.append(key)
        number = len(reads)
        await gate.wait()
        return number

    async def call(*keys: tuple[Hashable, ...]) -> list[asyncio.Task[int]]:
        calls = [asyncio.ensure_future(single_flight.get(*key)) for key in keys]
        await run_ready_tasks()
        return calls

    single_flight = SingleFlight(read)
    early = await call((1, "a"), (1, "a"), (2, "a"))
    assert reads == [(1, "a"), (2, "a")]
    *late, cancelled = await call((1, "a"), (1, "a"), (1, "a"))
    assert len(reads) == 2, "the next read waits for the one in flight"
    cancelled.cancel()
    gate.set()
    assert await asyncio.gather(*early, *late) == [1, 1, 2, 3, 3]
    assert await single_flight.get(1, "a") == 4, "results are not cached"
