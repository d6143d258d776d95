"""One lock per name, for as long as somebody holds or awaits it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from rooms.refusals import TryAgain

PATIENCE_SECONDS = 5.0


class Locks:
    """Serialises what happens under one name within this process.

    Not needed for truth (the guarded write is), but without it every change of a busy room
    races every other one and most of the work is thrown away.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._patience = patience

    @asynccontextmanager
    async def hold(self, *names: str) -> AsyncIterator[None]:
        """Hold all of `names`, taken in one order everywhere; TryAgain after too long a wait."""
        held: list[asyncio.Lock] = []
        try:
            for name in sorted(set(names)):
                lock = self._locks.setdefault(name, asyncio.Lock())
                await self._acquire(lock)
                held.append(lock)
            yield
        finally:
            for lock in reversed(held):
                lock.release()

    async def _acquire(self, lock: asyncio.Lock) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await lock.acquire()
        except TimeoutError:
            raise TryAgain from None
