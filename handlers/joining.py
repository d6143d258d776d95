"""Who comes while others are being served is served together with whoever else has come by then."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

import structlog

from rooms.refusals import TryAgain

PATIENCE_SECONDS = 5.0
"""As behind a lock: so long somebody waits to be served."""
A = TypeVar("A")
B = TypeVar("B")


class Joining(Generic[A, B]):
    """One queue per name, served in the order of arrival and at most `most` at a time."""

    def __init__(
        self,
        serve: Callable[[int, Sequence[A]], Awaitable[Sequence[B]]],
        most: int,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`serve` answers each one; what it raises is raised to all that it was to serve."""
        self._serve = serve
        self._most = most
        self._patience = patience
        self._queues: dict[int, deque[tuple[A, asyncio.Future[B]]]] = {}
        self._servers: set[asyncio.Task[None]] = set()

    async def join(self, name: int, asked: A) -> B:
        """The answer to what was asked for; TryAgain when its turn does not come soon enough."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[B] = loop.create_future()
        place = (asked, answer)
        if name in self._queues:
            self._queues[name].append(place)
        else:
            self._queues[name] = deque([place])
            server = loop.create_task(self._serve_all(name))
            self._servers.add(server)
            server.add_done_callback(self._servers.discard)
        giving_up = loop.call_later(self._patience, self._give_up, name, place)
        try:
            return await answer
        finally:
            giving_up.cancel()

    def _give_up(self, name: int, place: tuple[A, asyncio.Future[B]]) -> None:
        """Whoever is being served by then hears how it went."""
        queue = self._queues.get(name, ())
        if not place[1].done() and place in queue:
            queue.remove(place)  # type: ignore[union-attr]
            place[1].set_exception(TryAgain())

    async def _serve_all(self, name: int) -> None:
        structlog.contextvars.clear_contextvars()  # what is logged here is nobody's request alone
        queue = self._queues[name]
        try:
            while queue:
                together = [queue.popleft() for _ in range(min(self._most, len(queue)))]
                await self._serve_some(name, together)
        finally:
            del self._queues[name]
            _fail([waiting for _, waiting in queue], TryAgain())

    async def _serve_some(self, name: int, together: list[tuple[A, asyncio.Future[B]]]) -> None:
        error: Exception = TryAgain()
        try:
            answers = await self._serve(name, [asked for asked, _ in together])
            for (_, waiting), answer in zip(together, answers, strict=True):
                if not waiting.done():  # whoever asked may have gone away
                    waiting.set_result(answer)
        except Exception as raised:  # noqa: BLE001 - raised to whoever asked
            error = raised
        finally:
            _fail([waiting for _, waiting in together], error)


def _fail(waiting: Iterable[asyncio.Future[B]], error: Exception) -> None:
    """Whoever has no answer is not left waiting for one."""
    for answer in waiting:
        if not answer.done():
            answer.set_exception(error)
