"""Work that is done again and again beside the requests, and outlives every failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger("qlive.rounds")

LONGEST_PAUSE = 10.0
GRACE_SECONDS = 2.0
CANCELLATIONS, APART = 50, 0.1


class Rounds:
    """Tasks that run until `stop`; a round that fails is logged once per run of failures."""

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
        """`work` every so often; while it fails every `retry` seconds, or less and less often."""
        self._start(name, self._again(seconds, name, work, retry))

    def until_stopped(
        self, name: str, work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    ) -> None:
        """Something that goes on until the event is set."""
        self._start(name, work(self._stopping))

    async def stop(self) -> None:
        """Let every round end what it is at; whatever takes too long is cancelled.

        More than once where it takes that: PyMongo, while it connects, turns a cancellation
        into an error of its own, which the round then outlives.
        """
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for _ in range(CANCELLATIONS):
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                break
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=APART)
        self._tasks.clear()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def _again(
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
                    log.info("round_works_again", round=name, failures=failures)
                failures = 0
            except Exception as error:  # noqa: BLE001 - one bad round must not end the others
                failures += 1
                if failures == 1:
                    why = f"{type(error).__name__}: {error}"
                    log.warning("round_failed", round=name, error=why)
            slower = min(LONGEST_PAUSE, seconds * min(failures + 1, 4))
            await self._pause(retry if failures and retry else slower)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
