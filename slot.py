"""A slot: one part of the port, with the worker that serves it and whoever comes after."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import structlog

from worker import Worker

log = structlog.get_logger("qlive.supervisor")

READY_SECONDS = 60.0  # 1 s as a rule
INDEXES_SECONDS = 660.0  # storage/database.py gives those that the first one makes 600 s
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
Recruit = Callable[[int, list[socket.socket]], Awaitable[Worker]]
"""Starts the process for a slot, by its number and sockets."""


class Slot:
    """Once filled, a worker serves here or is on its way until `stop`."""

    def __init__(
        self, number: int, sockets: list[socket.socket], recruit: Recruit, drain_seconds: float
    ) -> None:
        self._number = number
        self._sockets = sockets
        self._recruit = recruit
        self._drain = drain_seconds
        self._worker: Worker | None = None
        self._living: set[Worker] = set()
        """Also those that do not serve yet, and those that drain."""
        self._changing = asyncio.Lock()
        self._watching: set[asyncio.Task[None]] = set()
        self._pause = 0.0
        self._stopping = False

    async def fill(self) -> bool:
        """Starts a worker; returns, once it serves or has failed to, which of the two."""
        async with self._changing:
            return await self._fill()

    async def renew(self) -> bool:
        """The new worker first, then the end of the old one. False, with the old one still
        serving, when the new one does not come to serve."""
        async with self._changing:
            old = self._worker
            if not await self._fill():
                return False
        if old:
            await self._end(old)
        return True

    async def stop(self) -> None:
        """Ends whoever is alive here, with time to drain."""
        self._stopping = True
        if not self._changing.locked():
            self._leave_the_port()  # or the kernel would take people in whom nobody serves
        await asyncio.gather(*map(self._end, list(self._living)))
        async with self._changing:  # and whoever was being started
            for task in self._watching:
                task.cancel()
        self._leave_the_port()

    def _leave_the_port(self) -> None:
        for sock in self._sockets:
            sock.close()

    async def _fill(self) -> bool:
        if self._stopping:
            return False
        try:
            worker = await self._recruit(self._number, self._sockets)
        except OSError as failure:
            log.error("worker_not_started", slot=self._number, why=str(failure))
            return False
        self._living.add(worker)
        patience = READY_SECONDS if self._number else INDEXES_SECONDS
        if self._stopping or not await worker.serves(patience):
            status = await self._end(worker)
            if not self._stopping:
                log.error("worker_not_ready", slot=self._number, pid=worker.pid, exit_status=status)
            return False
        self._worker = worker
        watching = asyncio.create_task(self._watch(worker))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        log.info("worker_serves", slot=self._number, pid=worker.pid)
        return True

    async def _watch(self, worker: Worker) -> None:
        """Puts another in its place when it dies."""
        status = await worker.watched()
        self._living.discard(worker)
        if self._is_followed(worker):
            return
        log.error("worker_died", slot=self._number, pid=worker.pid, exit_status=status)
        if worker.age > LONGEST_PAUSE:
            self._pause = 0.0
        while not self._is_followed(worker):
            await asyncio.sleep(self._next_pause())
            async with self._changing:
                if not self._is_followed(worker):
                    await self._fill()

    def _is_followed(self, worker: Worker) -> bool:
        """Whether nobody needs to come after it any more."""
        return self._stopping or self._worker is not worker

    def _next_pause(self) -> float:
        """None at first, then longer and longer while workers die soon after their start."""
        pause = self._pause
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * pause))
        log.info("worker_follows", slot=self._number, in_seconds=pause)
        return pause

    async def _end(self, worker: Worker) -> int:
        status = await worker.end(self._drain)
        self._living.discard(worker)
        return status
