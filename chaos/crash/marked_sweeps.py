"""Paths that begin in a periodic job: a sweep of what is due, for one target."""

import asyncio
from collections.abc import Callable, Set
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from chaos.crash.call_recorder import ON_PATH, CallRecorder
from handlers.context import Context
from runtime import jobs
from runtime.periodic import PeriodicTasks
from services.jobs.claimed_jobs import ClaimedJob, JobRunner

DUE = datetime(2001, 1, 1, tzinfo=UTC)
"""Any time in the past: a document with this `due_at` is due."""
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
"""`due_at` of documents that no sweep must process yet."""
INTERVALS = {"no_sweeps": None, "fast_sweeps": 0.2}
"""By path of an exit plan: seconds between two sweeps of a server, None for never."""
WECHAT_SECONDS = 0.15
"""Pause between two sweeps of a target: more than the simulator takes to cancel or to refund."""
SECONDS = 2.0
"""Pause between two runs of a marked job."""


class MarkedSweep(NamedTuple):
    """The job, the collection of its targets, and how many sweeps bring a target to its end."""

    job: str
    collection: str
    times: int = 1
    due: str = "due_at"
    """The field by which a target is due."""


SWEEPS = {
    "sweep": MarkedSweep("orders_jsapi", "orders"),
    "transfer_submit": MarkedSweep("open_transfers", "withdrawals"),
    "transfer_query": MarkedSweep("open_transfers", "withdrawals"),
    "transfer_resend": MarkedSweep("open_transfers", "withdrawals"),
    "refund_case": MarkedSweep("refund_cases", "refund_cases", times=3),
    "deletion": MarkedSweep("data_requests", "users", times=2, due="delete_at"),
}
"""By path. A refund case waits for a withdrawal to be cancelled, then for the refund; a deletion
for the requests in progress."""
JOBS = frozenset(sweep.job for sweep in SWEEPS.values())


def mark_sweep(recorder: CallRecorder, sweep: MarkedSweep) -> None:
    """The path follows a first sweep, which processes what earlier crashes left."""

    def start(tasks: PeriodicTasks, context: Context, job: ClaimedJob[Any]) -> None:
        marked = _MarkedJob(job, context, recorder, sweep)
        tasks.every(SECONDS, job.name, marked.run)

    _start_jobs({sweep.job}, start)


def mark_bills(recorder: CallRecorder) -> None:
    """The path is the comparison of the bills of the target, a day; first that of the day before,
    which an earlier crash has interrupted."""
    original = jobs.start_jobs

    def start_jobs(tasks: PeriodicTasks, context: Context) -> None:
        job: Any = _BillJob(context, date.fromisoformat(recorder.plan.target))
        marked = _MarkedJob(job, context, recorder, MarkedSweep("bills", "bills"))
        tasks.every(SECONDS, "marked_bills", marked.run)
        original(tasks, context)

    jobs.start_jobs = start_jobs


class _BillJob:
    """Compares the bills of one more day with each sweep."""

    def __init__(self, context: Context, day: date) -> None:
        self._bills = context.services.payments.bills
        self._days = [day - timedelta(days=1), day]

    async def sweep(self) -> None:
        if self._days:
            await self._bills.reconcile(str(self._days.pop(0)))


def set_interval(seconds: float | None) -> None:
    """Have all sweeps run so often; None: never."""

    def start(tasks: PeriodicTasks, _context: Context, job: ClaimedJob[Any]) -> None:
        if seconds is not None:
            tasks.every(seconds, job.name, job.sweep)

    _start_jobs(JOBS, start)


def _start_jobs(
    names: Set[str], start: Callable[[PeriodicTasks, Context, ClaimedJob[Any]], None]
) -> None:
    """Have the jobs of these names be started by `start`, and all others by their runner."""
    original = jobs.start_jobs

    def runner_of_others(*claimed: ClaimedJob[Any]) -> JobRunner:
        return JobRunner(*(job for job in claimed if job.name not in names))

    def start_jobs(tasks: PeriodicTasks, context: Context) -> None:
        for job in context.services.claimed_jobs:
            if job.name in names:
                start(tasks, context, job)
        original(tasks, context)

    jobs.JobRunner = runner_of_others  # type: ignore[assignment,misc]
    jobs.start_jobs = start_jobs


class _MarkedJob:
    """Sweeps of a job, of which those after the first are the path."""

    def __init__(
        self,
        job: ClaimedJob[Any],
        context: Context,
        recorder: CallRecorder,
        sweep: MarkedSweep,
    ) -> None:
        self._job, self._recorder, self._sweep = job, recorder, sweep
        self._targets = context.database.collection(sweep.collection)

    async def run(self) -> None:
        await self._job.sweep()
        await self._make_due()
        ON_PATH.set(True)
        await self._job.sweep()
        for _ in range(self._sweep.times - 1):
            await self._pause()
            await self._job.sweep()
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
        field = self._sweep.due
        due = {"_id": self._recorder.plan.target, field: {"$ne": None}}
        await self._targets.update_one(due, {"$set": {field: DUE}})
