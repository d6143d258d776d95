"""audit: operators' changes: who, what, on whom, when, why, and whether completed."""

import json
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from storage.audit_terms import entry_terms, query_words
from storage.database import Collection, Database, Document
from storage.deletion import delete_some
from storage.pagination import starts_with


class AuditStore:
    """Entries are inserted before the action, and marked done after it.

    `read` marks the entries of reads, which were written until they were counted instead.
    """

    def __init__(self, database: Database) -> None:
        self._audit: Collection = database.collection("audit")

    async def make_indexes(self) -> None:
        await self._audit.create_index([("read", 1), ("_id", -1)])
        await self._audit.create_index([("terms", 1), ("_id", -1)])

    async def begin(self, who: str, what: str, on: str, reason: str, asked: Any) -> ObjectId:
        parameters = json.dumps(asked, ensure_ascii=False)
        row: Document = {"who": who, "what": what, "on": on, "reason": reason, "asked": parameters}
        row["terms"] = entry_terms(what, on, who, reason, asked)
        result = await self._audit.insert_one({**row, "at": datetime.now(UTC), "done": False})
        return ObjectId(result.inserted_id)

    async def done(self, entry: ObjectId) -> None:
        await self._audit.update_one({"_id": entry}, {"$set": {"done": True}})

    async def page(
        self, before: str | None, limit: int, *, search: str = "", changes: bool = False
    ) -> list[Document]:
        """Entries older than the entry `before`, newest first.

        `search` finds entries with all its words, each the start of one of the entry's terms;
        `changes` leaves out the entries of reads.
        """
        where: Document = {}
        if before and ObjectId.is_valid(before):
            where["_id"] = {"$lt": ObjectId(before)}
        if changes:
            where["read"] = None
        if search:
            words = query_words(search)
            if not words:
                return []
            where["$and"] = [_has_term(word) for word in words]
        found = self._audit.find(where, {"read": 0, "terms": 0}).sort("_id", -1)
        rows = await found.limit(limit).to_list()
        return [
            {"id": str(row.pop("_id")), **row, "asked": json.loads(row["asked"])} for row in rows
        ]

    async def delete_before(self, at: datetime, limit: int) -> int:
        """Delete at most `limit` entries made before `at` (the time in their `_id`).

        Returns their number.
        """
        return await delete_some(self._audit, {"_id": {"$lt": ObjectId.from_datetime(at)}}, limit)

    async def add_missing_terms(self, limit: int) -> int:
        """Add the terms to at most `limit` entries of earlier versions, the newest first."""
        rows = await self._audit.find({"terms": None}).sort("_id", -1).to_list(limit)
        updates = [UpdateOne({"_id": row["_id"]}, {"$set": {"terms": _terms(row)}}) for row in rows]
        if updates:
            await self._audit.bulk_write(updates, ordered=False)
        return len(updates)


def _has_term(start: str) -> Document:
    """`$elemMatch`: the same term satisfies both ends of the range, which bounds the index scan."""
    return {"terms": {"$elemMatch": starts_with(start)}}


def _terms(row: Document) -> list[str]:
    return entry_terms(row["what"], row["on"], row["who"], row["reason"], json.loads(row["asked"]))
