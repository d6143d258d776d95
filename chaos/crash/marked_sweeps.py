"""Paths that begin in a periodic job: a sweep of what is due, for one target."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from chaos.crash.call_recorder import ON_PATH, CallRecorder
from handlers.context import Context
from runtime import jobs
from runtime.periodic import PeriodicTasks

DUE = datetime(2001, 1, 1, tzinfo=UTC)
"""Any time in the past: a document with this `due_at` is due."""
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
"""`due_at` of documents that no sweep must process yet."""
INTERVALS = {"no_sweeps": None, "fast_sweeps": 0.2}
"""By path of an exit plan: seconds between two sweeps of a server, None for never."""
WECHAT_SECONDS = 0.15
"""Pause between two sweeps of a target: more than the simulator takes to cancel or to refund."""
Work = Callable[[], Awaitable[object]]


class MarkedSweep(NamedTuple):
    """The job, the collection of its targets, and how many sweeps bring a target to its end."""

    job: str
    collection: str
    times: int = 1


SWEEPS = {
    "sweep": MarkedSweep("orders_jsapi", "orders"),
    "transfer_submit": MarkedSweep("open_transfers", "withdrawals"),
    "transfer_query": MarkedSweep("open_transfers", "withdrawals"),
    "transfer_resend": MarkedSweep("open_transfers", "withdrawals"),
    "refund_case": MarkedSweep("refund_cases", "refund_cases", times=3),
}
"""By path. A refund case waits for a withdrawal to be cancelled, then for the refund."""
JOBS = frozenset(sweep.job for sweep in SWEEPS.values())


def mark_sweep(recorder: CallRecorder, sweep: MarkedSweep) -> None:
    """The path follows a first sweep, which processes what earlier crashes left."""
    _replace_jobs(lambda tasks, context: _MarkedTasks(tasks, context, recorder, sweep))


def set_interval(seconds: float | None) -> None:
    """Have all sweeps run so often; None: never."""
    _replace_jobs(lambda tasks, _context: _OtherIntervals(tasks, seconds))


def _replace_jobs(replace: Callable[[PeriodicTasks, Context], Any]) -> None:
    original = jobs.start_jobs

    def start_jobs(tasks: PeriodicTasks, context: Context) -> None:
        original(replace(tasks, context), context)

    jobs.start_jobs = start_jobs


class _MarkedTasks:
    """Periodic tasks, one of which is replaced."""

    def __init__(
        self, tasks: PeriodicTasks, context: Context, recorder: CallRecorder, sweep: MarkedSweep
    ) -> None:
        self.until_stopped = tasks.until_stopped
        self._tasks, self._recorder, self._sweep = tasks, recorder, sweep
        self._targets = context.database.collection(sweep.collection)

    def every(self, seconds: float, name: str, work: Work, **options: Any) -> None:
        if name == self._sweep.job:
            work = functools.partial(self._run, work)
        self._tasks.every(seconds, name, work, **options)

    async def _run(self, work: Work) -> None:
        await work()
        await self._make_due()
        ON_PATH.set(True)
        await work()
        for _ in range(self._sweep.times - 1):
            await self._pause()
            await work()
        self._recorder.finish()

    async def _pause(self) -> None:
        """Recorded as a call: meanwhile WeChat cancels or refunds, and the target becomes due."""
        self._recorder.begin(self, "pause")
        ON_PATH.set(False)
        await asyncio.sleep(WECHAT_SECONDS)
        await self._make_due()
        ON_PATH.set(True)
        self._recorder.end(self)

    async def _make_due(self) -> None:
        due = {"_id": self._recorder.plan.target, "due_at": {"$ne": None}}
        await self._targets.update_one(due, {"$set": {"due_at": DUE}})


class _OtherIntervals:
    """Periodic tasks whose sweeps run more often, or never."""

    def __init__(self, tasks: PeriodicTasks, interval: float | None) -> None:
        self.until_stopped = tasks.until_stopped
        self._tasks, self._interval = tasks, interval

    def every(self, seconds: float, name: str, work: Work, **options: Any) -> None:
        interval = self._interval if name in JOBS else seconds
        if interval is not None:
            self._tasks.every(interval, name, work, **options)
