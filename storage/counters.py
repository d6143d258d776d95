"""counters: the last number given out per name."""

from pymongo import ReturnDocument

from storage.database import Collection, Database


class Counters:
    def __init__(self, database: Database) -> None:
        self._counters: Collection = database.collection("counters")

    async def next(self, name: str) -> int:
        """1, 2, 3, … Never the same number twice; numbers may be lost."""
        row = await self._counters.find_one_and_update(
            {"_id": name},
            {"$inc": {"n": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["n"]) if row else 0
