"""Three ways to serve many concurrent requests with few backend calls.

`SingleFlight` shares one read among callers of the same key, `BatchLoader` turns reads of many
keys into one query, `RequestBatcher` runs writes to the same name one batch at a time. None of
them caches: every answer was read after it was asked for.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from core.errors import TryAgain

QUEUE_SECONDS = 5.0
"""Longest wait in a RequestBatcher's queue; the same as for a lock."""
CONCURRENT_LOADS = 2
"""Queries of one BatchLoader in flight: while one is answered, the other is prepared."""
A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares one read among all concurrent callers of the same key.

    A caller that arrives during a read waits for the next one, since the read under way may have
    started before the change that the caller wants to see.
    """

    def __init__(self, read: Callable[..., Awaitable[T]]) -> None:
        """`read` receives the parts of the key."""
        self._read = read
        self._next: dict[Hashable, asyncio.Future[T]] = {}
        self._in_flight: dict[Hashable, asyncio.Future[T]] = {}

    async def get(self, *key: Hashable) -> T:
        """The result for `key`. Others receive the same object: do not change it."""
        if key not in self._next:
            self._next[key] = asyncio.ensure_future(self._read_next(key))
        return await asyncio.shield(self._next[key])

    async def _read_next(self, key: tuple[Hashable, ...]) -> T:
        if before := self._in_flight.get(key):
            await asyncio.wait([before])
        else:
            await asyncio.sleep(0)  # let other callers of this turn of the loop join
        current = self._in_flight[key] = self._next.pop(key)
        current.add_done_callback(_retrieve_error)
        try:
            return await self._read(*key)
        finally:
            if key not in self._next:
                del self._in_flight[key]


class BatchLoader(Generic[T]):
    """Loads by key; keys requested in one turn of the event loop leave as one query.

    A command costs PyMongo 0.3 ms of the process, whatever it asks for. While `CONCURRENT_LOADS`
    queries are in flight, further keys are collected for the next one.
    """

    def __init__(
        self,
        load: Callable[[Sequence[Hashable]], Awaitable[Mapping[Hashable, T | Exception]]],
        when_cancelled: type[Exception] = TryAgain,
    ) -> None:
        """`load` answers with what exists; an exception as a value is raised to the callers of
        that key, an exception raised to all callers."""
        self._load = load
        self._when_cancelled = when_cancelled
        self._requested: list[_Request] = []
        self._loading: set[asyncio.Task[None]] = set()
        self._context = Context()
        """Of the first request for the next query, to which log lines belong."""

    def get(self, key: Hashable) -> "asyncio.Future[T | None]":
        """The value for `key`, or None. Others may receive the same object: do not change it.

        A future, so that `gather` needs no task for each of its reads (5 µs).
        """
        return self._request((key,), itemgetter(0))

    def get_many(self, keys: Sequence[Hashable]) -> "asyncio.Future[list[T | None]]":
        """As `get`, for several keys in order: a future for each would take 2 µs a key."""
        return self._request(keys, list)

    def _request(
        self, keys: Sequence[Hashable], select: Callable[[list[T | None]], A]
    ) -> "asyncio.Future[A]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        if not keys:
            answer.set_result(select([]))
            return answer
        if not self._requested:
            self._context = copy_context()
            loop.call_soon(self._start)
        self._requested.append(_Request(keys, select, answer))
        return answer

    def _start(self) -> None:
        if not self._requested or len(self._loading) >= CONCURRENT_LOADS:
            return
        requested, self._requested = self._requested, []
        task = asyncio.get_running_loop().create_task(
            self._answer(requested), context=self._context
        )
        self._loading.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._loading.discard(task)
        self._start()

    async def _answer(self, requested: Sequence["_Request"]) -> None:
        error = self._when_cancelled()
        try:
            loaded = await self._load([*{key: None for it in requested for key in it.keys}])
            for it in requested:
                values = [loaded.get(key) for key in it.keys]
                if failed := [value for value in values if isinstance(value, Exception)]:
                    _fail([it.answer], failed[0])
                else:
                    _resolve([it.answer], it.select(values))
        except Exception as raised:  # noqa: BLE001 - raised to the callers
            error = raised
        finally:
            _fail([it.answer for it in requested], error)


class _Request(NamedTuple):
    """Keys that a BatchLoader loads for one caller, and how they answer it."""

    keys: Sequence[Hashable]
    select: Callable[[list[Any]], Any]
    answer: asyncio.Future[Any]


class RequestBatcher(Generic[A, B]):
    """Serves requests that arrive while the previous batch is in flight as the next batch.

    One queue per name, first in, first out, at most `max_batch` requests in a batch.
    """

    def __init__(
        self,
        serve: Callable[[int, Sequence[A]], Awaitable[Sequence[B]]],
        max_batch: int,
        timeout: float = QUEUE_SECONDS,
    ) -> None:
        """`serve` answers each request in order; what it raises is raised to the whole batch."""
        self._serve = serve
        self._max_batch = max_batch
        self._timeout = timeout
        self._queues: dict[int, deque[tuple[A, asyncio.Future[B]]]] = {}
        self._servers: set[asyncio.Task[None]] = set()

    async def submit(self, name: int, request: A) -> B:
        """The answer; TryAgain after `timeout` seconds in the queue."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[B] = loop.create_future()
        waiting = (request, answer)
        if name in self._queues:
            self._queues[name].append(waiting)
        else:
            self._queues[name] = deque([waiting])
            # An empty context: log lines of a batch belong to no single request.
            server = loop.create_task(self._serve_queue(name), context=Context())
            self._servers.add(server)
            server.add_done_callback(self._servers.discard)
        timer = loop.call_later(self._timeout, self._expire, name, waiting)
        try:
            return await answer
        finally:
            timer.cancel()

    def _expire(self, name: int, waiting: tuple[A, asyncio.Future[B]]) -> None:
        """Fails a request that is still queued; one in the present batch gets its answer."""
        queue = self._queues.get(name, ())
        if not waiting[1].done() and waiting in queue:
            queue.remove(waiting)  # type: ignore[union-attr]
            waiting[1].set_exception(TryAgain())

    async def _serve_queue(self, name: int) -> None:
        queue = self._queues[name]
        try:
            while queue:
                batch = [queue.popleft() for _ in range(min(self._max_batch, len(queue)))]
                await self._serve_batch(name, batch)
        finally:
            del self._queues[name]
            _fail([answer for _, answer in queue], TryAgain())

    async def _serve_batch(self, name: int, batch: list[tuple[A, asyncio.Future[B]]]) -> None:
        error: Exception = TryAgain()
        try:
            results = await self._serve(name, [request for request, _ in batch])
            for (_, answer), result in zip(batch, results, strict=True):
                _resolve([answer], result)
        except Exception as raised:  # noqa: BLE001 - raised to the callers
            error = raised
        finally:
            _fail([answer for _, answer in batch], error)


def _resolve(answers: Iterable[asyncio.Future[T]], value: T) -> None:
    for answer in answers:
        if not answer.done():  # cancelled with its request
            answer.set_result(value)


def _fail(answers: Iterable[asyncio.Future[T]], error: Exception) -> None:
    """Fails all that have no result yet, so that none is awaited for ever."""
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)


def _retrieve_error(done: "asyncio.Future[T]") -> None:
    """Keeps asyncio from logging an error whose callers have all been cancelled."""
    if not done.cancelled():
        done.exception()
