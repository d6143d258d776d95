"""Ends transactions that killed processes have left open."""

import sys
from collections.abc import Sequence

import structlog

from core.process_identity import ProcessIdentity
from realtime.lease import Lease
from storage.session_pool import SessionPool
from storage.session_records import SessionRecord, SessionRecordStore

log = structlog.get_logger("qlive.orphans")


class OrphanedTransactions:
    """Records this process's sessions, and ends the transactions of dead processes.

    A process is dead if it ran on this machine and has ended, or else if its lease has lapsed.
    """

    def __init__(
        self,
        records: SessionRecordStore,
        pool: SessionPool,
        lease: Lease,
        process_id: str,
    ) -> None:
        self._records = records
        self._pool = pool
        self._lease = lease
        self._process_id = process_id
        self._identity = ProcessIdentity.own()

    async def start(self) -> None:
        """Call once the process has a lease, as it would count as dead without one."""
        if self._identity is None and sys.platform == "linux":
            log.warning("process_identity_unknown")
        self._pool.recorder = self._record
        await self.check()

    async def check(self) -> None:
        """Called every second, so that no room is blocked for longer than a lease."""
        await self._pool.end_doubtful()
        recorded: set[bytes] = set()
        for record in await self._records.all():
            if record.process == self._process_id:
                recorded = set(record.sessions)
            elif self._is_dead(record):
                await self._records.end(record)
                log.warning(
                    "orphaned_transactions_ended",
                    process=record.process,
                    sessions=len(record.sessions),
                )
        if not recorded.issuperset(self._pool.ids):  # others presumed this process dead
            await self._record(self._pool.ids)

    async def _record(self, sessions: Sequence[bytes]) -> None:
        await self._records.add(self._process_id, self._identity, sessions)

    def _is_dead(self, record: SessionRecord) -> bool:
        if record.lapsed and self._lease.held_for_full_term:
            return True
        if self._identity is None or record.identity is None:
            return False
        return record.identity.has_ended(self._identity)
