"""When something that failed is tried again: claims of jobs, and changes that lost a race."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from core.errors import TryAgain, WriteConflict

CONFLICT_SECONDS = 2.0
"""Longest time in which a change is repeated."""
T = TypeVar("T")


def jittered(seconds: float) -> float:
    """Return half as long to half as long again, so that processes do not try in step."""
    return seconds * random.uniform(0.5, 1.5)


class Delays(NamedTuple):
    """Delays between the tries of a claim: the `first` in turn, then `then` again and again."""

    first: tuple[timedelta, ...]
    then: timedelta
    is_jittered: bool = False
    """Processes do not try in step; the bounds stay."""

    def after(self, tries: int) -> timedelta:
        """Return the delay after the try of this number, from 1."""
        delay = self.first[tries - 1] if tries <= len(self.first) else self.then
        if not self.is_jittered:
            return delay
        varied = timedelta(seconds=jittered(delay.total_seconds()))
        return max(self.first[0], min(self.then, varied))

    def next_check(self, begin: datetime, now: datetime) -> datetime:
        """Return the next time after now, if the first ones count from `begin`."""
        times = (begin + delay for delay in self.first)
        return next((at for at in times if at > now), now + self.then)


def _doubling(first: float, then: float, *, is_jittered: bool = False) -> Delays:
    """Return delays that double from `first` to `then`, in seconds."""
    doubled = [first]
    while 2 * doubled[-1] < then:
        doubled.append(2 * doubled[-1])
    delays = tuple(timedelta(seconds=seconds) for seconds in doubled)
    return Delays(delays, timedelta(seconds=then), is_jittered)


def _minutes(*first: int, then: int) -> Delays:
    return Delays(tuple(timedelta(minutes=n) for n in first), timedelta(minutes=then))


OUTBOX = _doubling(1, 600, is_jittered=True)
IM_RELAY = _doubling(1, 60, is_jittered=True)
MODERATION = _doubling(2, 120)
ORDERS = _minutes(1, 5, 15, 60, 180, then=60)
"""By the age of an unpaid order; the last check before the hourly ones closes it."""
TRANSFERS = _minutes(1, 5, 15, then=60)
"""Since a transfer was sent or its cancellation was requested. WeChat Pay closes a transfer after
24 hours, or later."""
FAILED_TRANSFERS = _minutes(1, 5, then=5)
"""As TRANSFERS after a problem, so that one failure does not cost an hour."""
REFUND_CASES = _minutes(1, 5, 15, then=60)
WEBHOOKS = Delays(
    (
        *(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)),
        *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20)),
    ),
    timedelta(hours=24),
)
"""Standard Webhooks recommends these."""
DELETIONS = Delays((), timedelta(days=1))
"""Of users whose money is on its way, or who would evade a decision or debt."""


async def retry_on_conflict(
    work: Callable[[], Awaitable[T]], count: Callable[[], None] = lambda: None
) -> T:
    """Repeat `work` while another writer is faster, and `count` that.

    Raises TryAgain after CONFLICT_SECONDS.
    """
    deadline = time.monotonic() + CONFLICT_SECONDS
    while True:
        try:
            return await work()
        except WriteConflict:
            count()
            if time.monotonic() > deadline:
                raise TryAgain from None
            await asyncio.sleep(random.uniform(0.001, 0.02))
