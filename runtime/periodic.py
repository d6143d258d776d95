"""Runs periodic background tasks, which survive their own failures."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger("qlive.periodic")

MAX_DELAY = 10.0
GRACE_SECONDS = 2.0
MAX_CANCELLATIONS, CANCEL_INTERVAL = 10, 0.5
"""In an interval, cancelled work aborts its transactions and gives back what it has claimed."""


async def run_all(*work: Awaitable[object]) -> None:
    """Wait for all, then raise the first error: a failure delays none of the others."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class PeriodicTasks:
    """Tasks that run until `stop`; only the first of consecutive failures is logged."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    def every(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        retry: float | None = None,
    ) -> None:
        """Run `work` periodically; while it fails, every `retry` seconds or with back-off."""
        self._start(name, self._run_periodically(seconds, name, work, retry))

    def until_stopped(
        self, name: str, work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    ) -> None:
        """Run a coroutine that returns when its argument, the stop event, is set."""
        self._start(name, work(self._stopping))

    async def stop(self) -> None:
        """Let running work finish for GRACE_SECONDS, then cancel it.

        Cancels repeatedly if needed: PyMongo, while it connects, turns a cancellation into an
        error of its own, which the task then survives.
        """
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for _ in range(MAX_CANCELLATIONS):
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=CANCEL_INTERVAL)
        self._tasks.clear()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def _run_periodically(
        self,
        seconds: float,
        name: str,
        work: Callable[[], Awaitable[object]],
        retry: float | None,
    ) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                await work()
                if failures:
                    log.info("job_recovered", job=name, failures=failures)
                failures = 0
            except Exception as error:  # noqa: BLE001 - a failure must not end the task
                failures += 1
                if failures == 1:
                    why = f"{type(error).__name__}: {error}"
                    log.warning("job_failed", job=name, error=why)
            delay = min(MAX_DELAY, seconds * min(failures + 1, 4))
            await self._pause(retry if failures and retry else delay)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
