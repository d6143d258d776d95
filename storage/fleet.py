"""processes, errands and relays: the leases of all processes, and what waits in the queues."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from core.process_report import read_report
from storage.database import Collection, Database, Document
from storage.outbox import NORMAL, URGENT, OutboxStore

MAX_COUNT = 10_000
"""Longest queue that is counted: an outage of Tencent may leave more, and every look costs that."""


@dataclass(frozen=True, slots=True)
class StoredProcess:
    """A lease; one that was not released is kept for an hour after it has lapsed.

    `report` has the fields of a ProcessReport that are known: {} of a process of a release before
    reports, and that of another release may lack some.
    """

    id: str
    lease_until: datetime
    renewed_at: datetime | None
    report: Document


@dataclass(frozen=True, slots=True)
class Queues:
    """Work for Tencent that any process may do, in lengths of at most MAX_COUNT."""

    outbox_urgent: int
    outbox_normal: int
    outbox_oldest_at: datetime | None
    """When the oldest message of both lanes was added."""
    relay_rooms: int
    """Rooms with events that IM does not have yet."""
    relay_oldest_at: datetime | None
    """Since when the first of them is due."""


class FleetStore:
    """Reads what all processes of the database have stored."""

    def __init__(self, database: Database, outbox: OutboxStore) -> None:
        self._processes: Collection = database.collection("processes")
        self._messages: Collection = database.collection("errands")
        self._relays: Collection = database.collection("relays")
        self._outbox = outbox

    async def processes(self) -> list[StoredProcess]:
        """All leases, of which there are few."""
        fields = dict.fromkeys(("expires_at", "renewed_at", "report"), 1)
        return [
            StoredProcess(
                row["_id"], row["expires_at"], row.get("renewed_at"), read_report(row.get("report"))
            )
            async for row in self._processes.find({}, fields)
        ]

    async def queues(self, now: datetime) -> Queues:
        """What waits at `now`, which the database's clock said."""
        due = {"due_at": {"$lte": now}}
        urgent, normal, oldest_at, rooms, first = await asyncio.gather(
            self._messages.count_documents({"state": URGENT}, limit=MAX_COUNT),
            self._messages.count_documents({"state": NORMAL}, limit=MAX_COUNT),
            self._outbox.oldest(),
            self._relays.count_documents(due, limit=MAX_COUNT),
            self._relays.find_one(due, {"due_at": 1}, sort=[("due_at", 1)]),
        )
        return Queues(urgent, normal, oldest_at, rooms, first["due_at"] if first else None)
