"""Periodic ledger check: one process runs it under a lease, all read its result."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from ledger.recharge import CLOSE_AFTER
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.jobs.due import JobLeaseStore
from storage.payments.orders import OrderStore

log = structlog.get_logger("qlive.ledger_audit")

JOB_NAME = "check-ledger"
INTERVAL_SECONDS = 300.0
LEASE_SECONDS = 1_800.0
"""Lease of a running check; after this its process is presumed dead."""
FULL_SECONDS = 86_400.0
OVERLAP_SECONDS = 600.0
"""Entries are inserted slightly after their own timestamp, and clocks differ."""
UNKNOWN = -1
"""Stored instead of the number of problems when the check itself failed."""


@dataclass(slots=True)
class LedgerAudit:
    """Checks the ledger and holds the result of the last check by any process.

    `last` has the number of problems (if that is UNKNOWN, `known` is the number found by the check
    before), gold, income, owed, owed_income, fen, at and full_at (unix seconds: start of the last
    check, and of the last full one).
    """

    job_leases: JobLeaseStore
    reconciler: LedgerReconciler
    orders: OrderStore
    last: dict[str, Any] = field(default_factory=dict)
    oldest_unpaid: float = 0.0
    """Age of the oldest order whose query should have succeeded, in seconds; 0 without one."""

    async def run_if_due(self) -> None:
        """Run the check if its lease is free, then load the latest stored result."""
        self.oldest_unpaid = await self._oldest_unpaid(datetime.now(UTC))
        if await self.job_leases.acquire(JOB_NAME, LEASE_SECONDS):
            await self._check_then_release()
        self.last = await self.job_leases.last_result(JOB_NAME)

    async def _oldest_unpaid(self, now: datetime) -> float:
        """Age in seconds, 0 without one.

        Orders of xpay count until CLOSE_AFTER only: WeChat answers one that was never submitted
        with an error, so that it stays open until GIVE_UP_AFTER.
        """
        found = (
            await self.orders.oldest_unpaid("jsapi"),
            await self.orders.oldest_unpaid("xpay", now - CLOSE_AFTER),
        )
        return max(((now - oldest).total_seconds() for oldest in found if oldest), default=0.0)

    async def check(self, since: datetime | None = None) -> list[str]:
        """Every problem as a sentence; with `since`, only those that newer entries may cause."""
        at = datetime.now(UTC).timestamp()
        full_at = self.last["full_at"] if since else at
        problems = await self.reconciler.problems(since)
        for problem in problems:
            log.error(
                "ledger_problem_found", kind=problem.kind, what=problem.what, detail=problem.detail
            )
        totals, count = await self.reconciler.totals(), len(problems)
        self.last = {**totals, "problems": count, "known": count, "at": at, "full_at": full_at}
        await self.job_leases.store_result(JOB_NAME, self.last)
        return [str(problem) for problem in problems]

    async def _check_then_release(self) -> None:
        """Check, then wait at least as long as the check took before the next."""
        started_at = time.monotonic()
        self.last = await self.job_leases.last_result(JOB_NAME)
        try:
            await self.check(incremental_from(self.last, datetime.now(UTC).timestamp()))
        except Exception:
            await self.job_leases.store_result(
                JOB_NAME, {"at": 0.0, **self.last, "problems": UNKNOWN}
            )
            raise
        finally:
            elapsed = time.monotonic() - started_at
            await self.job_leases.release(JOB_NAME, max(INTERVAL_SECONDS - elapsed, elapsed))


def incremental_from(last: Mapping[str, Any], now: float) -> datetime | None:
    """Start of an incremental check; None for a full one.

    A check is full at first, once per FULL_SECONDS, and while problems are known.
    """
    if last.get("known") != 0 or now - last["full_at"] > FULL_SECONDS:
        return None
    return datetime.fromtimestamp(last["at"] - OVERLAP_SECONDS, UTC)
