"""Work that is done again and again beside the requests, and outlives every failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger("qlive.rounds")

LONGEST_PAUSE = 10.0
CANCELLATIONS, APART = 50, 0.1


class Rounds:
    """Tasks that run until `stop`; a round that fails is logged once per run of failures."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
        self.run(name, lambda: _again(seconds, name, work))

    def run(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Something that only ends when it is cancelled."""
        self._tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    async def stop(self) -> None:
        """Cancel all, more than once where it takes that: PyMongo, while it connects, turns a
        cancellation into an error of its own, which the round then outlives."""
        for _ in range(CANCELLATIONS):
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=APART)
        self._tasks.clear()


async def _again(seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
    failures = 0
    while True:
        try:
            await work()
            if failures:
                log.info("round_works_again", round=name, failures=failures)
            failures = 0
        except Exception as error:  # noqa: BLE001 - one bad round must not end the others
            failures += 1
            if failures == 1:
                log.warning("round_failed", round=name, error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(min(LONGEST_PAUSE, seconds * min(failures + 1, 4)))
