"""counters: the last number issued per name."""

from pymongo import ReturnDocument

from storage.database import Collection, Database


class CounterStore:
    def __init__(self, database: Database) -> None:
        self._counters: Collection = database.collection("counters")

    async def next(self, name: str) -> int:
        """1, 2, 3, … Atomic: a number is never issued twice, but gaps are possible."""
        row = await self._counters.find_one_and_update(
            {"_id": name},
            {"$inc": {"n": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["n"]) if row else 0
