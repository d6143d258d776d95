"""Deletes rows whose retention has ended; one process sweeps for all, about hourly."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog

from config.sections import RetentionSettings
from storage.audit import AuditStore
from storage.job_leases import JobLeaseStore
from storage.orders import OrderStore
from storage.outbox import OutboxStore

log = structlog.get_logger("qlive.retention")

JOB_NAME = "retention"
INTERVAL_SECONDS = 3_600.0
LEASE_SECONDS = 1_800.0
"""Lease of a running sweep; after this its process is presumed dead. Two at once do no harm."""
FAILED_OUTBOX_DAYS = 30
"""For calls that Tencent rejected: time to find the cause and send them again."""
BATCH = 500
MAX_BATCHES = 1_000
"""Batches of one kind in one sweep; the next sweep continues."""


class RetentionSweep:
    """Deletes old audit entries, orders that were never paid, and outbox messages that failed."""

    def __init__(
        self,
        job_leases: JobLeaseStore,
        audit: AuditStore,
        orders: OrderStore,
        outbox: OutboxStore,
        settings: RetentionSettings,
    ) -> None:
        self._job_leases = job_leases
        self._kinds: Mapping[str, tuple[int, Callable[[datetime, int], Awaitable[int]]]] = {
            "audit": (settings.audit_days, audit.delete_before),
            "unpaid_order": (settings.unpaid_order_days, orders.delete_unpaid_before),
            "failed_outbox": (FAILED_OUTBOX_DAYS, outbox.delete_failed_before),
        }

    async def run_if_due(self) -> dict[str, int]:
        """Sweep if the lease is free; the rows deleted by this process, by kind."""
        if not await self._job_leases.acquire(JOB_NAME, LEASE_SECONDS):
            return {}
        try:
            return await self.sweep(datetime.now(UTC))
        finally:
            await self._job_leases.release(JOB_NAME, INTERVAL_SECONDS)

    async def sweep(self, now: datetime) -> dict[str, int]:
        """Delete what is too old at `now`."""
        deleted = {
            kind: await _in_batches(delete, now - timedelta(days=days))
            for kind, (days, delete) in self._kinds.items()
            if days
        }
        if any(deleted.values()):
            log.info("old_rows_deleted", **deleted)
        return deleted


async def _in_batches(work: Callable[[datetime, int], Awaitable[int]], at: datetime) -> int:
    """Repeat `work` until a batch is not full; the total of all batches."""
    total = 0
    for _ in range(MAX_BATCHES):
        count = await work(at, BATCH)
        total += count
        if count < BATCH:
            break
    return total
