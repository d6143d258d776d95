"""Paths that begin in a periodic job: a sweep of what is due, for one target."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from chaos.crash.crash_points import ON_PATH, CallRecorder
from handlers.context import Context
from runtime import jobs
from runtime.jobs import PeriodicTasks
from services.accounts.notices import JOB_NAME
from services.jobs.claimed_jobs import ClaimedJob, JobRunner

DUE = datetime(2001, 1, 1, tzinfo=UTC)
"""Any time in the past: a document with this `due_at` is due."""
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
"""`due_at` of documents that no sweep must process yet."""
BILLS, NOTICES = "bills", "notice"
INTERVALS = {"no_sweeps": None, "fast_sweeps": 0.2, "withdrawal": 0.2}
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
    BILLS: MarkedSweep("marked_bills", BILLS),
    NOTICES: MarkedSweep(JOB_NAME, "job_leases"),
}
"""By path. A refund case waits for a withdrawal to be cancelled, then for the refund; a deletion
for the requests in progress."""


def change_jobs(recorder: CallRecorder) -> None:
    """Start the jobs as the exit plan needs them: marked, at another interval, or never.

    All others are started by their runner.
    """
    path, original = recorder.plan.path, jobs.start_jobs
    marked = SWEEPS.get(path)
    names = {sweep.job for sweep in SWEEPS.values() if path in INTERVALS or sweep == marked}

    def runner_of_others(*claimed: ClaimedJob[Any]) -> JobRunner:
        return JobRunner(*(job for job in claimed if job.name not in names))

    def start_jobs(tasks: PeriodicTasks, context: Context) -> None:
        mine: list[Any] = [j for j in context.services.claimed_jobs if j.name in names]
        if path == BILLS:
            mine = [BillJob(context, date.fromisoformat(recorder.plan.target))]
        for job in mine:
            sweep, seconds = job.sweep, INTERVALS.get(path)
            if marked:
                sweep, seconds = MarkedJob(job, context, recorder, marked).run, SECONDS
            if seconds:
                tasks.every(seconds, job.name, sweep)
        original(tasks, context)

    jobs.JobRunner = runner_of_others  # type: ignore[assignment,misc]
    jobs.start_jobs = start_jobs


class BillJob:
    """Compares the bills of one more day with each sweep.

    First of the day before the target's, which an earlier crash has interrupted.
    """

    name = SWEEPS[BILLS].job

    def __init__(self, context: Context, day: date) -> None:
        self._bills = context.services.payments.bills
        self._days = [day - timedelta(days=1), day]

    async def sweep(self) -> None:
        if self._days:
            await self._bills.reconcile(str(self._days.pop(0)))


class MarkedJob:
    """Sweeps of a job. The path follows the first, which processes what earlier crashes left.

    The job is a ClaimedJob or a BillJob.
    """

    def __init__(
        self, job: Any, context: Context, recorder: CallRecorder, sweep: MarkedSweep
    ) -> None:
        self._job, self._recorder, self._sweep = job, recorder, sweep
        self._targets = context.database.collection(sweep.collection)

    async def run(self) -> None:
        await self._job.sweep()
        await self._make_due()
        ON_PATH.set(True)
        await self._job.sweep()
        for _ in range(self._sweep.times - 1):
            # Recorded as a call: meanwhile WeChat cancels or refunds, and the target becomes due.
            self._recorder.begin(self, "pause")
            ON_PATH.set(False)
            await asyncio.sleep(WECHAT_SECONDS)
            await self._make_due()
            ON_PATH.set(True)
            self._recorder.end(self)
            await self._job.sweep()
        self._recorder.finish()

    async def _make_due(self) -> None:
        field = self._sweep.due
        due = {"_id": self._recorder.plan.target, field: {"$ne": None}}
        await self._targets.update_one(due, {"$set": {field: DUE}})
