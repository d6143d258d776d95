"""Background worker that processes claims of a store, a bounded number at a time.

A claim is a lease: when its worker dies, another process claims the work again after the lease.
So work runs at least once, and must be idempotent at the receiver.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger("services.leased_worker")

C = TypeVar("C")


class LeasedWorker(Generic[C]):
    """Claims what is due until `concurrency` claims are in progress, then waits for a nudge.

    A failure of the store never ends `run`: it is logged once, and `claim` is tried every `idle`
    seconds until it works again.
    """

    def __init__(
        self,
        name: str,
        claim: Callable[[datetime, datetime, int], Awaitable[Sequence[C]]],
        process: Callable[[C], Coroutine[Any, Any, None]],
        *,
        concurrency: int,
        lease: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        idle: float = 1.0,
        gather: float = 0.0,
        in_batches: bool = False,
    ) -> None:
        """`claim(now, until, limit)` leases what is due at `now`, at most `limit`; `process`
        handles its own errors. `idle`: seconds between two looks, `gather`: seconds after a nudge
        in which further ones are collected. `in_batches`: claims nothing while claims are in
        progress, so that a later claim never overtakes an earlier one."""
        self._name = name
        self._claim = claim
        self._process = process
        self._concurrency = concurrency
        self._lease = lease
        self._now = now
        self._idle = idle
        self._gather = min(gather, idle)
        self._in_batches = in_batches
        self._in_progress: set[asyncio.Task[None]] = set()
        self._nudged = asyncio.Event()
        self._store_is_down = False

    def nudge(self) -> None:
        """Work was added: ends the wait for the next look. Never waits."""
        self._nudged.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Processes claims until `stopping` is set, then finishes those in progress."""
        try:
            while not stopping.is_set():
                await self._start_claims()
                if self._in_batches and self._in_progress:
                    await asyncio.wait(self._in_progress)
                await self._rest(stopping)
            await self._before_finish()
            if self._in_progress:
                await asyncio.wait(self._in_progress)
        finally:
            for task in self._in_progress:
                task.cancel()
            await asyncio.gather(*self._in_progress, return_exceptions=True)

    async def _before_claims(self) -> None:
        """For a subclass: runs before claims; a failure counts as one of the store."""

    async def _before_finish(self) -> None:
        """For a subclass: runs once at the stop, before claims in progress are awaited."""

    async def _start_claims(self) -> None:
        try:
            await self._before_claims()
            while len(self._in_progress) < self._concurrency:
                now, limit = self._now(), self._concurrency - len(self._in_progress)
                claims = await self._claim(now, now + self._lease, limit)
                self._note_store(None)
                if not claims:
                    return
                for claim in claims:
                    task = asyncio.create_task(self._process(claim))
                    self._in_progress.add(task)
                    task.add_done_callback(self._finish)
        except Exception as error:  # noqa: BLE001 - any driver error; the worker never dies
            self._note_store(error)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._in_progress.discard(task)
        self._nudged.set()  # there is room for the next claim

    async def _rest(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._nudged, stopping)]
        # Nudges come with every request: they must not turn an outage into a busy loop.
        awaited = waits[1:] if self._store_is_down else waits
        await asyncio.wait(awaited, timeout=self._idle, return_when=asyncio.FIRST_COMPLETED)
        if self._gather and self._nudged.is_set():
            await asyncio.wait(waits[1:], timeout=self._gather)
        for wait in waits:
            wait.cancel()
        self._nudged.clear()

    def _note_store(self, error: Exception | None) -> None:
        """Logs the beginning and the end of an outage of the store."""
        down = error is not None
        if down and not self._store_is_down:
            log.error("worker_store_down", worker=self._name, error=type(error).__name__)
        if not down and self._store_is_down:
            log.info("worker_store_back", worker=self._name)
        self._store_is_down = down


def backoff(tries: int, longest: float) -> float:
    """Seconds until the next try: doubles from 1 s to `longest`, with a jitter of half."""
    doubled = min(longest, 2.0 ** min(tries - 1, 20))
    return max(1.0, min(longest, doubled * random.uniform(0.5, 1.5)))
