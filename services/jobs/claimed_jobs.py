"""Background jobs that process claims of a store, a bounded number at a time.

A claim is a lease: when its process dies, another one claims the work again after the lease. So
work runs at least once, and must be idempotent at the receiver.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from core.errors import TryAgain
from storage.errors import StorageUnavailable, storage_error

log = structlog.get_logger("qlive.jobs")

C = TypeVar("C")


class ClaimedJob(Generic[C]):
    """Claims what is due until `concurrency` claims are in progress; a JobRunner calls `poll`.

    A failure never ends the job. One of the store is logged once, and `claim` is tried every `idle`
    seconds until it works again; any other is logged, and the claim's lease lapses.
    """

    def __init__(
        self,
        name: str,
        claim: Callable[[int], Awaitable[Sequence[C]]],
        process: Callable[[C], Awaitable[None]],
        *,
        concurrency: int,
        idle: float = 1.0,
        gather: float = 0.0,
        in_batches: bool = False,
    ) -> None:
        """Take `claim(limit)`, which leases at most `limit` of what is due.

        `idle`: seconds between two polls, `gather`: seconds after a wake in which further ones are
        collected. `in_batches`: claims nothing while claims are in progress, so that a later claim
        never overtakes an earlier one.
        """
        self.name = name
        self._claim = claim
        self._process = process
        self._concurrency = concurrency
        self._idle = idle
        self._gather = min(gather, idle)
        self._in_batches = in_batches
        self._in_progress: set[asyncio.Task[None]] = set()
        self._store_is_down = False
        self._may_have_more = False
        self.poll_at = 0.0
        """When to look for work, by the monotonic clock."""
        self.on_wake: Callable[[], None] = lambda: None

    def wake(self) -> None:
        """Look for added work. Never waits."""
        at = time.monotonic() + self._gather
        # Wakes come with every request: they must not turn an outage into a busy loop.
        if at < self.poll_at and not self._store_is_down:
            self.poll_at = at
            self.on_wake()

    async def poll(self) -> None:
        """Start what can be claimed."""
        self.poll_at = time.monotonic() + self._idle
        try:
            await self._before_claims()
            # Only the slots free now: a backlog must not keep the runner from its other jobs.
            free = self._free_slots()
            self._may_have_more = True
            while free > 0:
                claims = await self._claim(free)
                self._note_store(None)
                if not claims:
                    self._may_have_more = False
                    return
                free -= len(claims)
                for claim in claims:
                    task = asyncio.create_task(self._run(claim))
                    self._in_progress.add(task)
                    task.add_done_callback(self._finish)
        except Exception as error:  # noqa: BLE001 - any driver error; the job never dies
            self._note_store(error)

    async def sweep(self) -> None:
        """Process all that is due, and return when that is done."""
        await self.poll()
        while self._in_progress:
            done, _ = await asyncio.wait(self._in_progress, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._may_have_more:
                await self.poll()

    async def finish(self) -> None:
        await self._before_finish()
        if self._in_progress:
            await asyncio.wait(self._in_progress)

    def cancel(self) -> list[asyncio.Task[None]]:
        """Cancel the claims in progress and return their tasks."""
        for task in self._in_progress:
            task.cancel()
        return [*self._in_progress]

    async def _before_claims(self) -> None:
        """Run before claims, in a subclass; a failure counts as one of the store."""

    async def _before_finish(self) -> None:
        """Run once at the stop, in a subclass, before claims in progress are awaited."""

    def _free_slots(self) -> int:
        if self._in_batches and self._in_progress:
            return 0
        return self._concurrency - len(self._in_progress)

    async def _run(self, claim: C) -> None:
        try:
            await self._process(claim)
        except Exception as error:
            if storage_error(error) or isinstance(error, StorageUnavailable):
                self._note_store(error)
            elif isinstance(error, TryAgain):
                log.info("claim_deferred", job=self.name)  # contention: it is due again
            else:
                log.error("claim_failed", job=self.name, exc_info=error)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._in_progress.discard(task)
        # Otherwise what is due again at once, after a failure, waits for the next look.
        if self._may_have_more and self._free_slots():
            self.wake()

    def _note_store(self, error: Exception | None) -> None:
        down = error is not None
        if down and not self._store_is_down:
            log.error("job_store_down", job=self.name, error=type(error).__name__)
        if not down and self._store_is_down:
            log.info("job_store_back", job=self.name)
        self._store_is_down = down


def one_by_one(claim: Callable[[], Awaitable[C | None]]) -> Callable[[int], Awaitable[list[C]]]:
    """Claim one at a time, so that each lease begins with its work."""

    async def claim_one(_limit: int) -> list[C]:
        claimed = await claim()
        return [] if claimed is None else [claimed]

    return claim_one


class JobRunner:
    """Runs several jobs in one loop. None waits for the claims of another."""

    def __init__(self, *jobs: ClaimedJob[Any]) -> None:
        self._jobs = jobs
        self._woken = asyncio.Event()
        for job in jobs:
            job.on_wake = self._woken.set

    async def run(self, stopping: asyncio.Event) -> None:
        """Process claims until `stopping` is set, then finish those in progress."""
        try:
            while not stopping.is_set():
                now = time.monotonic()
                await asyncio.gather(*(job.poll() for job in self._jobs if job.poll_at <= now))
                await self._wait(stopping)
            await asyncio.gather(*(job.finish() for job in self._jobs))
        finally:
            # All before any is awaited, since that may be cancelled in turn (runtime/jobs.py).
            cancelled = [task for job in self._jobs for task in job.cancel()]
            await asyncio.gather(*cancelled, return_exceptions=True)

    async def _wait(self, stopping: asyncio.Event) -> None:
        """Wait until a job is to look for work."""
        seconds = min(job.poll_at for job in self._jobs) - time.monotonic()
        waits = [asyncio.ensure_future(event.wait()) for event in (self._woken, stopping)]
        try:
            await asyncio.wait(
                waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        self._woken.clear()
