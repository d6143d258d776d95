"""A worker slot: its listening sockets, its worker, and restarts with back-off."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import structlog

from runtime.listeners import WorkerSockets
from runtime.worker import Worker

log = structlog.get_logger("qlive.supervisor")

READY_SECONDS = 60.0
"""Time in which a started worker must report that it serves; usually it takes one second."""
INDEXES_SECONDS = 660.0
"""The same for slot 0, whose worker builds indexes first: storage/database.py allows it 600 s."""
MIN_BACKOFF, MAX_BACKOFF = 0.5, 30.0
"""Seconds between restarts of a worker that keeps dying; one that lived for longer than MAX_BACKOFF
is restarted at once."""
MAX_QUEUED_SECONDS = 2.0
"""Longest pause between two attempts with open sockets, in which connections queue; in a longer one
they are refused, so that a proxy turns to another worker. During an attempt they queue again."""
Sleep = Callable[[float], Awaitable[None]]
StartWorker = Callable[[int, list[socket.socket]], Awaitable[Worker]]
"""Starts the worker process of a slot, given its number and sockets."""


class WorkerSlot:
    """Keeps one worker running, from `fill` until `stop`."""

    def __init__(
        self,
        number: int,
        sockets: list[socket.socket],
        start: StartWorker,
        drain_seconds: float,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._number = number
        self._sockets = WorkerSockets(sockets)
        self._start_worker = start
        self._drain_seconds = drain_seconds
        self._sleep = sleep
        self._worker: Worker | None = None
        self._alive: set[Worker] = set()
        """Includes workers that are not ready yet, and workers that drain."""
        self._lock = asyncio.Lock()
        self._watchers: set[asyncio.Task[None]] = set()
        self._backoff = 0.0
        self._stopping = False
        self.deaths = 0
        """Workers that have exited although nothing had stopped them."""

    @property
    def serves(self) -> bool:
        """Whether its worker is ready and alive."""
        return self._worker in self._alive

    async def fill(self) -> bool:
        """Start a worker and wait until it serves; False if it fails to."""
        async with self._lock:
            return await self._fill()

    async def renew(self) -> bool:
        """Start a new worker, then drain the old one.

        False, with the old one still serving, if the new one fails to serve.
        """
        async with self._lock:
            old = self._worker
            if not await self._fill():
                if not self.serves:
                    self._sockets.close()  # until the watcher's next attempt
                return False
        if old:
            await self._end(old)
        return True

    async def stop(self) -> None:
        """Stop all workers of this slot, with time to drain."""
        self._stopping = True
        if not self._lock.locked():
            self._sockets.close()  # else the kernel would accept connections that nothing serves
        await asyncio.gather(*map(self._end, list(self._alive)))
        async with self._lock:  # waits for a worker that is being started
            for task in self._watchers:
                task.cancel()
        self._sockets.close()

    async def _fill(self) -> bool:
        if self._stopping:
            return False
        try:
            self._sockets.bind()
            worker = await self._start_worker(self._number, self._sockets.listening)
        except OSError as failure:
            log.error("worker_start_failed", slot=self._number, why=str(failure))
            return False
        self._alive.add(worker)
        timeout = READY_SECONDS if self._number else INDEXES_SECONDS
        if self._stopping or not await worker.wait_ready(timeout):
            status = await self._end(worker)
            if not self._stopping:
                log.error(
                    "worker_ready_failed", slot=self._number, pid=worker.pid, exit_status=status
                )
            return False
        self._worker = worker
        watcher = asyncio.create_task(self._watch(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        log.info("worker_ready", slot=self._number, pid=worker.pid)
        return True

    async def _watch(self, worker: Worker) -> None:
        """Replace the worker when it dies."""
        status = await worker.supervise()
        self._alive.discard(worker)
        if not self._needs_replacement(worker):
            return
        self.deaths += 1
        log.error("worker_died", slot=self._number, pid=worker.pid, exit_status=status)
        if worker.age > MAX_BACKOFF:
            self._backoff = 0.0
        while self._needs_replacement(worker):
            await self._rest(self._next_backoff())
            async with self._lock:
                if self._needs_replacement(worker):
                    await self._fill()

    async def _rest(self, seconds: float) -> None:
        is_being_renewed = self._lock.locked()
        if seconds > MAX_QUEUED_SECONDS and not is_being_renewed:
            self._sockets.close()
        await self._sleep(seconds)

    def _needs_replacement(self, worker: Worker) -> bool:
        """Whether a dead worker is still the slot's; False once it has another or stops."""
        return self._worker is worker and not self._stopping

    def _next_backoff(self) -> float:
        """Seconds before the next restart: 0, then MIN_BACKOFF, doubling up to MAX_BACKOFF."""
        backoff = self._backoff
        self._backoff = min(MAX_BACKOFF, max(MIN_BACKOFF, 2 * backoff))
        log.info("worker_restart_scheduled", slot=self._number, in_seconds=backoff)
        return backoff

    async def _end(self, worker: Worker) -> int:
        status = await worker.terminate(self._drain_seconds)
        self._alive.discard(worker)
        return status
