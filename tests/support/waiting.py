"""Waits for a condition by polling it."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from types import ModuleType, SimpleNamespace
from typing import TypeVar

import pytest

T = TypeVar("T")
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.01


async def until(check: Callable[[], T | Awaitable[T]], seconds: float = WAIT_SECONDS) -> T:
    """The first true result of `check`, a plain or an async function."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        value = await result if inspect.isawaitable(result) else result
        if value:
            return value
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        await asyncio.sleep(POLL_SECONDS)


async def run_ready_tasks(turns: int = 10) -> None:
    """Runs the event loop until tasks wait for something other than each other."""
    for _ in range(turns):
        await asyncio.sleep(0)


def recorded_timeouts(patch: pytest.MonkeyPatch, module: ModuleType) -> list[asyncio.Timeout]:
    """The timeouts that `module` enters from now on; `reschedule(0)` ends one of them."""
    timeouts: list[asyncio.Timeout] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        timeouts.append(asyncio.timeout(seconds))
        return timeouts[-1]

    patch.setattr(module, "asyncio", SimpleNamespace(**vars(asyncio) | {"timeout": timeout}))
    return timeouts
