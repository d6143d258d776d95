"""visits: one document per live and visitor, and one per live with the peak of its audience.

A process writes what it has seen once a second. A kill therefore loses at most the visitors and the
peak of one second: visitors whom no process sees again in the live, because they had left or do not
come back, are missing in its `audience_total`.
"""

from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne

from core.cache import Cache
from storage.database import Collection, Database, Document
from storage.documents import starts_with

VISITS_KEPT = timedelta(days=7)
"""Visits are deleted when their live ends. This deletes those of a process that was killed then."""
WRITTEN_SECONDS, MAX_WRITTEN = 60.0, 20_000
"""How long, and how many of, its writes a process remembers in order not to repeat them."""


class VisitStore:
    """Visitors and peaks of lives, collected in memory and written by `flush`."""

    def __init__(self, database: Database) -> None:
        self._visits: Collection = database.collection("visits")
        self._members: Collection = database.collection("members")
        self._pending: dict[str, int] = {}
        """Peak by id of its document, 0 for a visitor."""
        self._written: Cache[str, int] = Cache(WRITTEN_SECONDS, MAX_WRITTEN)

    async def make_indexes(self) -> None:
        await self._visits.create_index("at", expireAfterSeconds=int(VISITS_KEPT.total_seconds()))

    def note_visitor(self, epoch: str, user_id: str) -> None:
        """Note that a user has been in a live; the host must not be noted."""
        self._note(f"{epoch}:{user_id}", 0)

    def note_audience(self, epoch: str, audience: int) -> None:
        """Note the number of members but the host; the highest one is the peak of the live."""
        if audience > 0:
            self._note(f"{epoch}:", audience)

    def _note(self, id_: str, number: int) -> None:
        known = self._pending.get(id_, self._written.get(id_))
        if known is None or number > known:
            self._pending[id_] = number

    async def has(self, epoch: str, user_id: str) -> bool:
        """Return whether the user has been in a live, as far as it is written or was seen here."""
        id_ = f"{epoch}:{user_id}"
        return id_ in self._pending or await self._visits.find_one({"_id": id_}) is not None

    async def flush(self) -> None:
        """Write what was noted since the last call, by one command."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        start, new = self._written.begin_read(), {"$setOnInsert": {"at": datetime.now(UTC)}}
        updates = [
            UpdateOne({"_id": id_}, {**new, "$max": {"peak": number}}, upsert=True)
            for id_, number in pending.items()
        ]
        try:
            await self._visits.bulk_write(updates, ordered=False)
        except BaseException:
            for id_, number in pending.items():
                self._pending[id_] = max(number, self._pending.get(id_, 0))
            raise
        for id_, number in pending.items():
            self._written.put(id_, number, start)

    async def peaks(self, *epochs: str) -> dict[str, int]:
        """Return the peaks by epoch, of lives that have had an audience."""
        found = self._visits.find({"_id": {"$in": [f"{epoch}:" for epoch in epochs]}})
        return {row["_id"][:-1]: row["peak"] async for row in found}

    async def count(self, live_id: int, epoch: str) -> tuple[int, int]:
        """Return the number of visitors of an ended live, and the peak of its audience.

        Its last members count also if the processes that let them in have not written them yet.
        """
        id_ = {"$concat": [epoch, ":", "$_id"]}
        members = {"live_id": live_id, "epoch": epoch, "role": {"$ne": "host"}}
        self.note_audience(epoch, await self._members.count_documents(members))
        await self.flush()
        await self._members.aggregate(
            [
                {"$match": members},
                {"$project": {"_id": id_, "peak": {"$literal": 0}, "at": "$$NOW"}},
                {"$merge": {"into": "visits", "whenMatched": "keepExisting"}},
            ]
        )
        total = await self._visits.count_documents(_of(epoch))
        return total, (await self.peaks(epoch)).get(epoch, 0)

    async def delete(self, epoch: str) -> None:
        await self._visits.delete_many({"_id": starts_with(f"{epoch}:")})


def _of(epoch: str) -> Document:
    """Return a filter for the visitors of a live."""
    return {"_id": {**starts_with(f"{epoch}:"), "$gt": f"{epoch}:"}}
