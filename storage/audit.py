"""audit: what operators asked for: who, what, on whom, when, why, and whether it was done."""

import json
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from storage.database import Collection, Database, Document


class Audit:
    """Entries are written before the deed and completed after it, and never removed."""

    def __init__(self, database: Database) -> None:
        self._audit: Collection = database.collection("audit")

    async def begin(self, who: str, what: str, on: str, reason: str, asked: Any) -> ObjectId:
        row = {"who": who, "what": what, "on": on, "reason": reason, "asked": json.dumps(asked)}
        made = await self._audit.insert_one({**row, "at": datetime.now(UTC), "done": False})
        return ObjectId(made.inserted_id)

    async def done(self, entry: ObjectId) -> None:
        await self._audit.update_one({"_id": entry}, {"$set": {"done": True}})

    async def page(self, before: str | None, limit: int) -> list[Document]:
        """The newest first, older than the entry `before`."""
        where: Document = {}
        if before and ObjectId.is_valid(before):
            where["_id"] = {"$lt": ObjectId(before)}
        rows = await self._audit.find(where).sort("_id", -1).limit(limit).to_list()
        return [
            {"id": str(row.pop("_id")), **row, "asked": json.loads(row["asked"])} for row in rows
        ]
