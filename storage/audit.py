"""audit: what operators asked for: who, what, on whom, when, why, and whether it was done."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from storage.database import Collection, Database, Document

TEXTS = ("who", "what", "on", "reason", "asked")


class Audit:
    """Entries are written before the deed and completed after it, and never removed."""

    def __init__(self, database: Database) -> None:
        self._audit: Collection = database.collection("audit")

    async def make_indexes(self) -> None:
        await self._audit.create_index([("read", 1), ("_id", -1)])

    async def begin(
        self, who: str, what: str, on: str, reason: str, asked: Any, *, changes: bool
    ) -> ObjectId:
        said = json.dumps(asked, ensure_ascii=False)
        row: Document = {"who": who, "what": what, "on": on, "reason": reason, "asked": said}
        if not changes:
            row["read"] = True
        made = await self._audit.insert_one({**row, "at": datetime.now(UTC), "done": False})
        return ObjectId(made.inserted_id)

    async def done(self, entry: ObjectId) -> None:
        await self._audit.update_one({"_id": entry}, {"$set": {"done": True}})

    async def page(
        self, before: str | None, limit: int, *, said: str = "", changes: bool = False
    ) -> list[Document]:
        """The newest first, older than the entry `before`; with `said` anywhere in them;
        `changes`: without what was only looked at."""
        where: Document = {}
        if before and ObjectId.is_valid(before):
            where["_id"] = {"$lt": ObjectId(before)}
        if changes:
            where["read"] = None
        if said:
            pattern = {"$regex": re.escape(said), "$options": "i"}
            where["$or"] = [{name: pattern} for name in TEXTS]
        found = self._audit.find(where, {"read": 0}).sort("_id", -1)
        rows = await found.limit(limit).to_list()
        return [
            {"id": str(row.pop("_id")), **row, "asked": json.loads(row["asked"])} for row in rows
        ]
