"""Delivers notifications to the server: once, never, twice or late, with retries."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from devtools.simulator.reports import SimulatedNotification, post_notification

DELIVERIES = ("once", "never", "twice", "late")
LATE_SECONDS = 3.0
MAX_ATTEMPTS, RETRY_DELAY_SECONDS = 5, 0.5
Make = Callable[[str], SimulatedNotification]


class SimulatedDelivery:
    """Background deliveries; `statuses`, their HTTP answers, are for tests."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, build: Make, mode: str) -> None:
        """Delivers `build(mode)`, without waiting for it."""
        self.run(self._deliver(build, mode))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the background; `quiet` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def quiet(self) -> None:
        """Wait until every notification has been answered, and those that it caused."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _deliver(self, build: Make, mode: str) -> None:
        if mode == "never":
            return
        if mode == "late":
            await asyncio.sleep(LATE_SECONDS)
        report = build(mode)
        for _ in range(2 if mode == "twice" else 1):
            await self._send(report)

    async def _send(self, report: SimulatedNotification) -> None:
        """Retry while the server fails, for a shorter time than WeChat does."""
        for _ in range(MAX_ATTEMPTS):
            status = await post_notification(report)
            self.statuses.append(status)
            if status < 300 or 400 <= status < 500:
                return
            await asyncio.sleep(RETRY_DELAY_SECONDS)
