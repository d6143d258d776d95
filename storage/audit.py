"""audit: operators' requests: who, what, on whom, when, why, and whether completed."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from storage.database import Collection, Database, Document

SEARCHED_FIELDS = ("who", "what", "on", "reason", "asked")


class AuditStore:
    """Entries are inserted before the action, marked done after it, and never deleted."""

    def __init__(self, database: Database) -> None:
        self._audit: Collection = database.collection("audit")

    async def make_indexes(self) -> None:
        await self._audit.create_index([("read", 1), ("_id", -1)])

    async def begin(
        self, who: str, what: str, on: str, reason: str, asked: Any, *, changes: bool
    ) -> ObjectId:
        parameters = json.dumps(asked, ensure_ascii=False)
        row: Document = {"who": who, "what": what, "on": on, "reason": reason, "asked": parameters}
        if not changes:
            row["read"] = True
        result = await self._audit.insert_one({**row, "at": datetime.now(UTC), "done": False})
        return ObjectId(result.inserted_id)

    async def done(self, entry: ObjectId) -> None:
        await self._audit.update_one({"_id": entry}, {"$set": {"done": True}})

    async def page(
        self, before: str | None, limit: int, *, search: str = "", changes: bool = False
    ) -> list[Document]:
        """Entries older than the entry `before`, newest first.

        `search` is searched in the texts, ignoring case; `changes` leaves out read-only requests.
        """
        where: Document = {}
        if before and ObjectId.is_valid(before):
            where["_id"] = {"$lt": ObjectId(before)}
        if changes:
            where["read"] = None
        if search:
            pattern = {"$regex": re.escape(search), "$options": "i"}
            where["$or"] = [{name: pattern} for name in SEARCHED_FIELDS]
        found = self._audit.find(where, {"read": 0}).sort("_id", -1)
        rows = await found.limit(limit).to_list()
        return [
            {"id": str(row.pop("_id")), **row, "asked": json.loads(row["asked"])} for row in rows
        ]
