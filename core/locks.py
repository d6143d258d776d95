"""Named asyncio locks, discarded when they are neither held nor awaited."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from core.errors import TryAgain

LOCK_TIMEOUT_SECONDS = 5.0


class NamedLocks:
    """Serialises work on the same user within this process.

    Correctness does not depend on it, since transactions detect conflicts. It saves repeating them.
    """

    def __init__(self, timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._timeout_seconds = timeout

    @asynccontextmanager
    async def lock(self, *names: str) -> AsyncIterator[None]:
        """Lock all `names`, in sorted order. Raises TryAgain on timeout."""
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
            async with asyncio.timeout(self._timeout_seconds):
                await lock.acquire()
        except TimeoutError:
            raise TryAgain from None
