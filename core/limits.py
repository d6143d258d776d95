"""Limits on concurrency and on rates, and locks by name."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from weakref import WeakValueDictionary

from core.errors import TryAgain

QUEUE_SECONDS = 10.0
LOCK_TIMEOUT_SECONDS = 5.0
MAX_BUCKETS = 16_384
"""Buckets that are not full, of one kind; about 3 MB."""
_ROUNDING = 1e-9


class ConcurrencyLimit:
    """Semaphore with a queue timeout: `async with` holds one slot."""

    def __init__(self, limit: int, timeout: float = QUEUE_SECONDS) -> None:
        """Create the limit; `timeout` is the longest wait for a slot, in seconds."""
        self._slots = asyncio.Semaphore(limit)
        self.waiting = 0
        """Number of tasks that wait for a slot."""
        self._timeout = timeout

    async def __aenter__(self) -> None:
        """Take a slot. Raises TryAgain when none becomes free in time."""
        self.waiting += 1
        try:  # a free slot needs no timer
            await _acquire(self._slots, self._timeout if self._slots.locked() else None)
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_error: object) -> None:
        self._slots.release()


class NamedLocks:
    """Serialises work on the same user within this process; a lock exists while it is used.

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
                await _acquire(lock, self._timeout_seconds)
                held.append(lock)
            yield
        finally:
            for lock in reversed(held):
                lock.release()


async def _acquire(lock: asyncio.Lock | asyncio.Semaphore, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await lock.acquire()
    except TimeoutError:
        raise TryAgain from None


class Rate(NamedTuple):
    """Tokens per second, and how many a full bucket holds; 0 per second is no limit."""

    per_second: float
    burst: int

    def times(self, factor: int) -> "Rate":
        """Return the rate of `factor` users together."""
        return Rate(self.per_second * factor, self.burst * factor)

    def faster(self, factor: float) -> "Rate":
        """Return the rate that fills `factor` times as fast; a user's clicks come in bursts."""
        return Rate(self.per_second * factor, self.burst)


class TokenBuckets:
    """Token buckets by key, which fill as time passes; `now` is the time of any clock.

    Stores one number per bucket that is not full: when it will be. Beyond MAX_BUCKETS the least
    recently used one is dropped, and counts as full.
    """

    def __init__(self, rate: Rate) -> None:
        self._seconds_per_token = 1 / rate.per_second if rate.per_second else 0.0
        self._seconds_to_fill = rate.burst * self._seconds_per_token
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self.is_on = rate.per_second > 0
        """Whether there is a limit."""

    def take(self, key: str, now: float) -> float:
        """Take a token; without one, return the seconds until the next."""
        if not self.is_on:
            return 0.0
        full_at = self._full_at.get(key, now)
        if full_at < now:  # an `if` takes a third of the time of max()
            full_at = now
        full_at += self._seconds_per_token
        seconds = full_at - now - self._seconds_to_fill
        if seconds > _ROUNDING:
            return seconds
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > MAX_BUCKETS:
            self._full_at.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        if key in self._full_at:
            self._full_at[key] -= self._seconds_per_token
