"""arrivals: when callbacks of each kind have come, one document per kind."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from pymongo import UpdateOne

from storage.database import Collection, Database, Document

WEEK = timedelta(days=7)


class Arrival(NamedTuple):
    """First and last time of a kind; `hours` with a callback in the week up to the last."""

    kind: str
    first_at: datetime
    last_at: datetime
    hours: int


class ArrivalStore:
    """Times of the callbacks whose signature was right."""

    def __init__(self, database: Database) -> None:
        self._arrivals: Collection = database.collection("arrivals")

    async def add(self, times: Mapping[str, tuple[datetime, datetime]]) -> None:
        """Add the first and the last time of some kinds, in one command."""
        updates = [
            UpdateOne({"_id": kind}, _widen(*row), upsert=True) for kind, row in times.items()
        ]
        await self._arrivals.bulk_write(updates, ordered=False)

    async def all(self) -> list[Arrival]:
        fields = {"first_at": 1, "last_at": 1, "hours": {"$size": "$hours"}}
        rows = self._arrivals.find({}, fields).sort("_id", 1)
        return [
            Arrival(row["_id"], row["first_at"], row["last_at"], row["hours"]) async for row in rows
        ]


def _widen(first_at: datetime, last_at: datetime) -> list[Document]:
    """Return the steps that widen a document; of its hours, those of a week are kept."""
    hour, known = last_at.replace(minute=0, second=0, microsecond=0), {"$ifNull": ["$hours", []]}
    is_recent = {"$gt": ["$$this", last_at - WEEK]}
    recent = {"$filter": {"input": known, "cond": is_recent}}
    changed: Document = {
        "first_at": {"$min": ["$first_at", first_at]},
        "last_at": {"$max": ["$last_at", last_at]},
        "hours": {"$setUnion": [recent, [hour]]},
    }
    return [{"$set": changed}]
