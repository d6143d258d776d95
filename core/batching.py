"""Three ways to serve many concurrent requests with few backend calls.

`SingleFlight` shares one read among callers of the same key, `BatchLoader` turns reads of many
keys into one query, `RequestBatcher` runs writes to the same name one batch at a time. None of
them caches: each answer is read after its request.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from core.errors import TryAgain

QUEUE_SECONDS = 5.0
"""Longest wait in a RequestBatcher's queue; the same as for a lock."""
READ_QUEUE_SECONDS = 60.0
"""Longest wait of a SingleFlight's caller for the read in flight; every read is shorter."""
CONCURRENT_LOADS = 2
"""Queries of one BatchLoader in flight: while one is answered, the other is prepared."""
A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class BatchLoader(Generic[T]):
    """Loads by key; keys requested in one turn of the event loop leave as one query.

    A command costs PyMongo 0.3 ms of the process, whatever it asks for. While `CONCURRENT_LOADS`
    queries are in flight, further keys are collected for the next one.
    """

    def __init__(
        self, load: Callable[[Sequence[Hashable]], Awaitable[Mapping[Hashable, T | Exception]]]
    ) -> None:
        """Create a loader whose `load` answers with what exists.

        An exception as a value is raised to the callers of that key, an exception raised to all
        callers.
        """
        self._load = load
        self._requested: list[_Request] = []
        self._loading: set[asyncio.Task[None]] = set()
        self._context = Context()
        """Context of the first request in the next query; log lines are attributed to it."""

    def get(self, key: Hashable) -> "asyncio.Future[T | None]":
        """Return the value for `key`, or None. Others may receive the same object: never change it.

        It is a future, so that `gather` needs no task for each of its reads (5 µs).
        """
        return self.read((key,), itemgetter(0))

    def get_many(self, keys: Sequence[Hashable]) -> "asyncio.Future[list[T | None]]":
        """Get several keys as `get` does, in order: a future for each would take 2 µs a key."""
        return self.read(keys, list)

    def read(
        self, keys: Sequence[Hashable], select: Callable[[list[T | None]], A]
    ) -> "asyncio.Future[A]":
        """Get several keys as `get_many` does, and answer with what `select` returns for them."""
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
        with _answering(request.answer for request in requested):
            keys = {key: None for request in requested for key in request.keys}
            loaded = await self._load([*keys])
            for request in requested:
                values = [loaded.get(key) for key in request.keys]
                failed = [value for value in values if isinstance(value, Exception)]
                _resolve(request.answer, failed[0] if failed else request.select(values))


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
        serve: Callable[[Any, Sequence[A]], Awaitable[Sequence[B | Exception]]],
        max_batch: int,
        timeout: float = QUEUE_SECONDS,
    ) -> None:
        """Create a batcher whose `serve` answers each request in order.

        An exception as an answer is raised to its caller, an exception raised to the whole batch.
        """
        self._serve = serve
        self._max_batch = max_batch
        self._timeout = timeout
        self._queues: dict[Hashable, deque[tuple[A, asyncio.Future[B]]]] = {}
        self._servers: set[asyncio.Task[None]] = set()

    async def submit(self, name: Hashable, request: A) -> B:
        """Return the answer. Raises TryAgain after `timeout` seconds in the queue."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[B] = loop.create_future()
        waiting = (request, answer)
        if name not in self._queues:
            self._queues[name] = deque([waiting])
            # An empty context: log lines of a batch belong to no single request.
            server = loop.create_task(self._serve_queue(name), context=Context())
            self._servers.add(server)
            server.add_done_callback(self._servers.discard)
            return await answer  # of the batch that begins at once, so that it needs no timer
        self._queues[name].append(waiting)
        timer = loop.call_later(self._timeout, self._expire, name, waiting)
        try:
            return await answer
        finally:
            timer.cancel()

    def _expire(self, name: Hashable, waiting: tuple[A, asyncio.Future[B]]) -> None:
        """Fail a request that is still queued; one in the present batch gets its answer."""
        queue = self._queues.get(name, ())
        if not waiting[1].done() and waiting in queue:
            queue.remove(waiting)  # type: ignore[union-attr]
            waiting[1].set_exception(TryAgain())

    async def _serve_queue(self, name: Hashable) -> None:
        queue = self._queues[name]
        try:
            while queue:
                batch = [queue.popleft() for _ in range(min(self._max_batch, len(queue)))]
                with _answering(answer for _, answer in batch):
                    results = await self._serve(name, [request for request, _ in batch])
                    for (_, answer), result in zip(batch, results, strict=True):
                        _resolve(answer, result)
        finally:
            del self._queues[name]
            for _, answer in queue:  # only if this task was cancelled
                _resolve(answer, TryAgain())


class SingleFlight(Generic[T]):
    """Shares one read among all concurrent callers of the same key.

    A caller that arrives during a read waits for the next one, since the read under way may have
    started before the change that the caller wants to see.
    """

    def __init__(self, read: Callable[..., Awaitable[T]]) -> None:
        """Create it; `read` receives the parts of the key."""
        self._read = read
        self._callers: RequestBatcher[None, T] = RequestBatcher(
            self._answer, sys.maxsize, READ_QUEUE_SECONDS
        )

    async def get(self, *key: Hashable) -> T:
        """Return the result for `key`. Other callers receive the same object: do not change it."""
        return await self._callers.submit(key, None)

    async def _answer(self, key: Any, callers: Sequence[None]) -> list[T]:
        return [await self._read(*key)] * len(callers)


def parsed(document: A, parse: Callable[[A], T]) -> T | Exception:
    """Return the result or error of `parse`: an error concerns only this document's callers."""
    try:
        return parse(document)
    except Exception as error:  # noqa: BLE001 - raised to the callers of this document
        return error


def _resolve(answer: asyncio.Future[T], value: T | Exception) -> None:
    """Answer with the value or error, unless it is answered or cancelled with its request."""
    if answer.done():
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)


@contextmanager
def _answering(answers: Iterable[asyncio.Future[Any]]) -> Iterator[None]:
    """Raise an error of the block to the callers that it has not answered.

    They receive TryAgain if the task that serves them is cancelled.
    """
    error: Exception = TryAgain()
    try:
        yield
    except Exception as raised:  # noqa: BLE001 - raised to the callers
        error = raised
    finally:
        for answer in answers:
            _resolve(answer, error)
