"""Periodic ledger check: one process runs it under a lease, all read its result."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from ledger.recharge import CLOSE_AFTER
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.jobs.due import JobLeaseStore, LeasedJob
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


class LedgerAudit(LeasedJob):
    """Checks the ledger and holds the result of the last check by any process.

    `last` has the number of problems (if that is UNKNOWN, `known` is the number found by the check
    before), gold, income, owed, owed_income, fen, at and full_at (unix seconds: start of the last
    check, and of the last full one).
    """

    def __init__(
        self, leases: JobLeaseStore, reconciler: LedgerReconciler, orders: OrderStore
    ) -> None:
        super().__init__(JOB_NAME, leases, lease=LEASE_SECONDS, interval=INTERVAL_SECONDS)
        self._reconciler = reconciler
        self._orders = orders
        self.oldest_unpaid = 0.0
        """Age of the oldest order whose query should have succeeded, in seconds; 0 without one."""

    async def run_if_due(self) -> None:
        # Orders of xpay count until CLOSE_AFTER only: WeChat answers one that was never submitted
        # with an error, so that it stays open until GIVE_UP_AFTER.
        now = datetime.now(UTC)
        found = (
            await self._orders.oldest_unpaid("jsapi"),
            await self._orders.oldest_unpaid("xpay", now - CLOSE_AFTER),
        )
        ages = ((now - oldest).total_seconds() for oldest in found if oldest)
        self.oldest_unpaid = max(ages, default=0.0)
        await super().run_if_due()

    async def check(self, since: datetime | None = None) -> list[str]:
        """Return every problem as a sentence; with `since`, those that newer entries may cause."""
        at = datetime.now(UTC).timestamp()
        full_at = self.last["full_at"] if since else at
        problems = await self._reconciler.problems(since)
        for problem in problems:
            log.error(
                "ledger_problem_found", kind=problem.kind, what=problem.what, detail=problem.detail
            )
        totals, count = await self._reconciler.totals(), len(problems)
        await self._store(**totals, problems=count, known=count, at=at, full_at=full_at)
        return [str(problem) for problem in problems]

    async def _run_once(self) -> None:
        last = await self._load()
        try:
            await self.check(incremental_from(last, datetime.now(UTC).timestamp()))
        except Exception:
            await self._store(**{"at": 0.0, **last, "problems": UNKNOWN})
            raise


def incremental_from(last: Mapping[str, Any], now: float) -> datetime | None:
    """Return the start of an incremental check; None for a full one.

    A check is full at first, once per FULL_SECONDS, and while problems are known.
    """
    if last.get("known") != 0 or now - last["full_at"] > FULL_SECONDS:
        return None
    return datetime.fromtimestamp(last["at"] - OVERLAP_SECONDS, UTC)
