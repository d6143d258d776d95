"""Limits on concurrency and on rates."""

import asyncio
import random
import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Self

from core.errors import TryAgain

QUEUE_SECONDS = 10.0
MAX_BUCKETS = 16_384
"""Buckets that are not full, of one kind; about 3 MB."""
MAX_REFUSAL_TURN = 10.0
"""Longest wait of a refusal for those before it, in seconds."""
_ROUNDING = 1e-9


class ConcurrencyLimit:
    """Semaphore with a queue timeout."""

    def __init__(self, limit: int, timeout: float = QUEUE_SECONDS) -> None:
        """`timeout`: longest wait for a slot, in seconds."""
        self._slots = asyncio.Semaphore(limit)
        self.waiting = 0
        """Number of tasks that wait for a slot."""
        self._timeout = timeout

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Holds one slot; TryAgain when none becomes free in time."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    async def acquire(self) -> bool:
        """Take a slot, and return whether that took a wait; TryAgain when none is free in time."""
        if not self._slots.locked():
            await self._slots.acquire()
            return False
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise TryAgain from None
        finally:
            self.waiting -= 1
        return True

    def release(self) -> None:
        self._slots.release()


class ConcurrencyLimits:
    """A limit of each key, which is stored while a slot of the key is taken."""

    def __init__(self, limit: int, timeout: float = QUEUE_SECONDS) -> None:
        """`timeout`: longest wait for a slot, in seconds."""
        self._limit = limit
        self._timeout = timeout
        self._taken: dict[str, int] = {}
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """Number of keys that are stored."""
        return len(self._taken)

    def waiting(self, key: str) -> int:
        """Number of tasks that wait for a slot of the key."""
        return len(self._queues.get(key, ()))

    def take(self, key: str) -> bool:
        """Take a slot of the key if one is free; returns whether it was."""
        taken = self._taken.get(key, 0)
        if taken >= self._limit:
            return False
        self._taken[key] = taken + 1
        return True

    async def wait(self, key: str) -> None:
        """Take the next slot of the key that becomes free; TryAgain when none does in time."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(turn)
        try:
            async with asyncio.timeout(self._timeout):
                await turn
        except TimeoutError:
            self._give_up(key, turn)
            raise TryAgain from None
        except asyncio.CancelledError:
            self._give_up(key, turn)
            raise
        finally:
            if not self.waiting(key):
                self._queues.pop(key, None)

    def release(self, key: str) -> None:
        """Return a slot of the key, or hand it over to the task that has waited longest."""
        queue = self._queues.get(key)
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        taken = self._taken.pop(key) - 1
        if taken:
            self._taken[key] = taken

    def _give_up(self, key: str, turn: asyncio.Future[None]) -> None:
        if turn.cancelled():
            with suppress(ValueError):  # a release has passed over it
                self._queues.get(key, deque()).remove(turn)
        else:  # its slot was handed over at the same moment
            self.release(key)


class Rate(NamedTuple):
    """Tokens per second, and how many a full bucket holds; 0 per second is no limit."""

    per_second: float
    burst: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "2/10" (two a second, ten at once), or "0" (no limit); ValueError for other text."""
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/([1-9][0-9]{0,8})", text)
        if text == "0":
            return cls(0, 0)
        if match is None or not float(match[1]):
            raise ValueError('must be RATE/BURST like "2/10" (two a second, ten at once), or "0"')
        return cls(float(match[1]), int(match[2]))

    def times(self, factor: int) -> "Rate":
        return Rate(self.per_second * factor, self.burst * factor)


NO_LIMIT = Rate(0, 0)


class TokenBuckets:
    """Token buckets by key, which fill as time passes; `now` is the time of any clock.

    Stores one number per bucket that is not full: when it will be. Beyond `max_buckets` the least
    recently used one is dropped, and counts as full.
    """

    def __init__(self, rate: Rate, max_buckets: int = MAX_BUCKETS) -> None:
        self._seconds_per_token = 1 / rate.per_second if rate.per_second else 0.0
        self._seconds_to_fill = rate.burst * self._seconds_per_token
        self._max_buckets = max_buckets
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self.is_on = rate.per_second > 0
        """Whether there is a limit."""

    def __len__(self) -> int:
        """Number of buckets that are stored."""
        return len(self._full_at)

    def take(self, key: str, now: float, patience: float = 0.0) -> float:
        """Take a token that is there within `patience` seconds; return the seconds until it is.

        If that is longer, none is taken.
        """
        if not self.is_on:
            return 0.0
        full_at = self._full_at.get(key, now)
        if full_at < now:  # an `if` takes a third of the time of max()
            full_at = now
        full_at += self._seconds_per_token
        seconds = full_at - now - self._seconds_to_fill
        if seconds <= _ROUNDING:
            seconds = 0.0
        elif seconds > patience + _ROUNDING:
            return seconds
        self._store(key, full_at)
        return min(seconds, patience) if seconds else 0.0

    def charge(self, key: str, tokens: int, now: float, patience: float = 0.0) -> None:
        """Take more tokens, at most as many as are there within `patience` seconds."""
        if not self.is_on:
            return
        full_at = max(self._full_at.get(key, now), now) + tokens * self._seconds_per_token
        self._store(key, min(full_at, now + self._seconds_to_fill + patience))

    def give_back(self, key: str) -> None:
        """Return a token that was taken."""
        if key in self._full_at:
            self._full_at[key] -= self._seconds_per_token

    def _store(self, key: str, full_at: float) -> None:
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_buckets:
            self._full_at.popitem(last=False)


class RefusalDelay:
    """Holds refused requests back: a client that sends the next one once it has the answer, as all
    floods on a connection do, is slowed down a hundredfold.

    The delays are random, or requests that were refused together would come back together. Refusals
    of one user or address that go on wait for one another as well.
    """

    def __init__(self, seconds: float, most: int, repeated: Rate = NO_LIMIT) -> None:
        """`seconds`: the mean; `most`: requests held at the same time, half of them of one key;
        further ones are refused at once. `repeated`: how many refusals of one key are answered
        without a further wait."""
        self._seconds = seconds
        self._free = most
        self._most_of_key = max(1, most // 2)
        self._held: Counter[str] = Counter()
        self._turns = TokenBuckets(repeated)

    async def hold(self, key: str) -> None:
        """Hold a refusal of `key`, a user or an address."""
        if not self._free or self._held[key] >= self._most_of_key:
            return
        turn = min(self._turns.take(key, time.monotonic(), MAX_REFUSAL_TURN), MAX_REFUSAL_TURN)
        self._free -= 1
        self._held[key] += 1
        try:
            await asyncio.sleep(random.uniform(0.5, 1.5) * self._seconds + turn)
        finally:
            self._free += 1
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
