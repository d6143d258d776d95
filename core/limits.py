"""Limits on concurrency and on rates."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.errors import TryAgain

QUEUE_SECONDS = 10.0


class ConcurrencyLimit:
    """Semaphore with a queue timeout."""

    def __init__(self, limit: int, timeout: float = QUEUE_SECONDS) -> None:
        """`timeout`: longest wait for a slot, in seconds."""
        self._slots = asyncio.Semaphore(limit)
        self._timeout = timeout

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds one slot; TryAgain when none becomes free in time."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise TryAgain from None
        try:
            yield
        finally:
            self._slots.release()


class HandshakeRateLimiter:
    """Counts handshakes per address in the present second.

    Phones share addresses (carrier NAT), so the limit keeps out floods and nothing finer.
    """

    def __init__(self, per_second: int) -> None:
        """`per_second` 0: no limit."""
        self._limit = per_second
        self._second = 0
        self._handshakes: Counter[str] = Counter()

    def exceeded(self, address: str) -> bool:
        """Counts one handshake; True when it is over the limit."""
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._handshakes.clear()
        self._handshakes[address] += 1
        return bool(self._limit) and self._handshakes[address] > self._limit
