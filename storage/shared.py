"""One reading for all who ask for the same thing while another reading of it is under way."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Not a cache: what is answered was read after it was asked for. Whoever asks during a reading
    waits for the next one, with all others who do."""

    def __init__(self, read: Callable[..., Awaitable[T]]) -> None:
        """`read` takes what is asked for."""
        self._read = read
        self._next: dict[Hashable, asyncio.Future[T]] = {}
        self._under_way: dict[Hashable, asyncio.Future[T]] = {}

    async def get(self, *key: Hashable) -> T:
        """What others may be given, too: it is to be read, not changed."""
        if key not in self._next:
            self._next[key] = asyncio.ensure_future(self._read_next(key))
        return await asyncio.shield(self._next[key])

    async def _read_next(self, key: tuple[Hashable, ...]) -> T:
        if before := self._under_way.get(key):
            await asyncio.wait([before])
        else:
            await asyncio.sleep(0)  # whoever else asks in this turn of the loop
        mine = self._under_way[key] = self._next.pop(key)
        mine.add_done_callback(_look)
        try:
            return await self._read(*key)
        finally:
            if key not in self._next:
                del self._under_way[key]


def _look(done: "asyncio.Future[T]") -> None:
    """Whoever asked may have gone away: then nobody is told of an error."""
    if not done.cancelled():
        done.exception()
