"""Pauses between attempts, and the repetition of changes that lost a race."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from core.errors import TryAgain, WriteConflict

CONFLICT_SECONDS = 2.0
"""Longest time in which a change is repeated."""
T = TypeVar("T")


def jittered(seconds: float) -> float:
    """Half as long to half as long again, so that processes do not try in step."""
    return seconds * random.uniform(0.5, 1.5)


def backoff(tries: int, longest: float) -> float:
    """Seconds until the next try: doubles from 1 s to `longest`, jittered."""
    doubled = min(longest, 2.0 ** min(tries - 1, 20))
    return max(1.0, min(longest, jittered(doubled)))


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
