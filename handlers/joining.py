"""Who comes while others are being served is served together with whoever else has come by then."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

A = TypeVar("A")
B = TypeVar("B")


class Joining(Generic[A, B]):
    """One queue per name, served in the order of arrival and at most `most` at a time."""

    def __init__(
        self, serve: Callable[[int, Sequence[A]], Awaitable[Sequence[B]]], most: int
    ) -> None:
        """`serve` answers each one; what it raises is raised to all that it was to serve."""
        self._serve = serve
        self._most = most
        self._queues: dict[int, deque[tuple[A, asyncio.Future[B]]]] = {}
        self._servers: set[asyncio.Task[None]] = set()

    async def join(self, name: int, asked: A) -> B:
        """The answer to what was asked for."""
        answer: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        if name in self._queues:
            self._queues[name].append((asked, answer))
        else:
            self._queues[name] = deque([(asked, answer)])
            server = asyncio.get_running_loop().create_task(self._serve_all(name))
            self._servers.add(server)
            server.add_done_callback(self._servers.discard)
        return await answer

    async def _serve_all(self, name: int) -> None:
        structlog.contextvars.clear_contextvars()  # what is logged here is nobody's request alone
        queue = self._queues[name]
        while queue:
            together = [queue.popleft() for _ in range(min(self._most, len(queue)))]
            await self._serve_some(name, together)
        del self._queues[name]

    async def _serve_some(self, name: int, together: list[tuple[A, asyncio.Future[B]]]) -> None:
        try:
            answers = await self._serve(name, [asked for asked, _ in together])
        except Exception as error:  # noqa: BLE001 - raised to whoever asked
            for _, waiting in together:
                if not waiting.done():  # whoever asked may have gone away
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(together, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
