import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import pytest

from core.batching import RequestBatcher
from core.errors import TryAgain
from tests.support.names import Names
from tests.support.waiting import run_ready_tasks

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
