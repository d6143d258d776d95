"""likes: one document per pair of a user and a liked user."""

from datetime import UTC, datetime

from storage.database import Collection, Database


class LikeStore:
    def __init__(self, database: Database) -> None:
        self._likes: Collection = database.collection("likes")

    async def make_indexes(self) -> None:
        await self._likes.create_index([("by", 1), ("of", 1)], unique=True)

    async def put(self, by: str, of: str) -> None:
        pair = {"by": by, "of": of}
        made = {"$setOnInsert": {"at": datetime.now(UTC)}}
        await self._likes.update_one(pair, made, upsert=True)

    async def drop(self, by: str, of: str) -> None:
        await self._likes.delete_one({"by": by, "of": of})

    async def has(self, by: str, of: str) -> bool:
        return await self._likes.find_one({"by": by, "of": of}, {"_id": 1}) is not None
