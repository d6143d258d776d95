"""Metrics of a supervisor, and those of its workers that have ended."""

import asyncio
import os
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from runtime.worker import Worker
from runtime.worker_slot import WorkerSlot
from telemetry.metrics import Registry
from telemetry.metrics_files import EndedMetricsFile, remove_left_folders

log = structlog.get_logger("qlive.supervisor")

INTERVAL_SECONDS = 1.0


class SupervisorMetrics:
    """Keeps the supervisor's file; a scrape reads it in a worker."""

    def __init__(self, slots: Sequence[WorkerSlot]) -> None:
        """The folder is systemd's runtime directory if it gave one, in memory and private."""
        self._parent = Path(os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir())
        self._file = EndedMetricsFile(self._parent)
        self._tasks: set[asyncio.Task[None]] = set()
        self._registry = registry = Registry()
        registry.gauge(
            "workers",
            "Workers that serve.",
            lambda: sum(slot.serves for slot in slots),
            combine="first",
        )
        registry.gauge(
            "workers_wanted", "Workers that should serve.", lambda: len(slots), combine="first"
        )
        registry.counter(
            "worker_restarts",
            "Workers that exited although nothing had stopped them.",
            lambda: sum(slot.deaths for slot in slots),
        )

    def start(self) -> None:
        """Write the file, and keep it up to date. Raises OSError.

        Deletes what killed supervisors have left: systemd empties its directory, others do not.
        """
        remove_left_folders(self._parent)
        self._file.write(self._registry.snapshot())
        self._keep(self._run())

    def next_worker(self, slot: int) -> Path:
        """The file of a worker that is being started."""
        return self._file.next_worker(slot)

    def add_when_ended(self, worker: Worker, path: Path) -> None:
        """Keep the counters of the worker when its process ends."""
        self._keep(self._add_ended(worker, path))

    def remove(self) -> None:
        """Delete the files, when all workers have ended."""
        for task in self._tasks:
            task.cancel()
        self._file.remove()

    async def _add_ended(self, worker: Worker, path: Path) -> None:
        await worker.wait_ended()
        with _logged_failures():
            self._file.add_ended(path, self._registry.snapshot())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            with _logged_failures():
                self._file.write(self._registry.snapshot())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextmanager
def _logged_failures() -> Iterator[None]:
    """No space, for example: the workers must not suffer."""
    try:
        yield
    except OSError as error:
        log.warning("metrics_not_written", why=str(error))
