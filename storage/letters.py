"""letters: words between processes that must arrive, whatever becomes of Redis: evictions."""

from datetime import datetime, timedelta

from bson import ObjectId

from storage.database import Collection, Database, Document

KEPT_SECONDS = 300
OVERLAP = timedelta(seconds=5)
"""Letters become visible in another order than their times say: so much is read again."""


class Letters:
    """A board on which every process posts and reads; each letter is read once by each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._letters: Collection = database.collection("letters")
        self._read: set[ObjectId] = set()
        self._until: datetime | None = None

    async def make_indexes(self) -> None:
        await self._letters.create_index("at", expireAfterSeconds=KEPT_SECONDS)

    async def post(self, letter: bytes) -> None:
        """By the database's clock, which all processes share."""
        change = {"$set": {"letter": {"$literal": letter}, "at": "$$NOW"}}
        await self._letters.update_one({"_id": ObjectId()}, [change], upsert=True)

    async def new(self) -> list[bytes]:
        """What was posted since this was asked last; the first time, nothing."""
        first = self._until is None
        until = self._until or await self._database.now()
        rows = await self._since(until - OVERLAP)
        fresh = [row for row in rows if row["_id"] not in self._read]
        self._read = {row["_id"] for row in rows}
        self._until = max([until, *(row["at"] for row in rows)])
        return [] if first else [row["letter"] for row in fresh]

    async def _since(self, at: datetime) -> list[Document]:
        return await self._letters.find({"at": {"$gte": at}}).sort("at", 1).to_list()
