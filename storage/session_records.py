"""processes: the sessions with which a process runs transactions, stored beside its lease.

`sessions` are their ids; `host`, `pid` and `started` identify the process on its machine.
"""

from collections.abc import Sequence
from typing import NamedTuple

from core.errors import TryAgain
from core.process_identity import ProcessIdentity
from storage.database import Collection, Database, Document
from storage.session_pool import SessionId


class SessionRecord(NamedTuple):
    """Sessions of one process; `lapsed`: it holds no valid lease."""

    process: str
    identity: ProcessIdentity | None
    sessions: list[SessionId]
    lapsed: bool


class SessionRecordStore:
    """Records the sessions of processes, and ends the transactions that dead ones left open."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._processes: Collection = database.collection("processes")

    async def add(
        self, process: str, identity: ProcessIdentity | None, sessions: Sequence[SessionId]
    ) -> None:
        """Record these sessions; TryAgain while the process has no lease, which would end them."""
        change: Document = {"$addToSet": {"sessions": {"$each": list(sessions)}}}
        if identity:
            place = {"host": identity.host, "pid": identity.pid, "started": identity.started}
            change["$set"] = place
        result = await self._processes.update_one({"_id": process}, change)
        if not result.matched_count:
            raise TryAgain

    async def all(self) -> list[SessionRecord]:
        """The records of all processes, of which there are few."""
        fields = {
            **dict.fromkeys(("sessions", "host", "pid", "started"), 1),
            "lapsed": {"$lt": ["$expires_at", "$$NOW"]},
        }
        rows = await self._processes.find({"sessions.0": {"$exists": True}}, fields).to_list()
        return [
            SessionRecord(row["_id"], _identity(row), row["sessions"], row["lapsed"])
            for row in rows
        ]

    async def end(self, record: SessionRecord) -> None:
        """End the transactions of a dead process, and remove its record after that."""
        await self._database.sessions.kill(record.sessions)
        # A process that was only slow may have recorded other sessions meanwhile.
        unchanged = {"_id": record.process, "sessions": record.sessions}
        await self._processes.update_one(unchanged, {"$unset": {"sessions": ""}})


def _identity(row: Document) -> ProcessIdentity | None:
    if "host" not in row:
        return None
    return ProcessIdentity(row["host"], row["pid"], row["started"])
