"""evictions: messages that must reach every process even while Redis is down."""

from datetime import datetime, timedelta

from bson import ObjectId

from storage.database import Collection, Database, Document

TTL_SECONDS = 300
OVERLAP = timedelta(seconds=5)
"""Messages may become visible out of timestamp order, so this much is read again."""


class EvictionStore:
    """Message log polled by every process; each instance returns each message once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._messages: Collection = database.collection("evictions")
        self._read_ids: set[ObjectId] = set()
        self._read_until: datetime | None = None

    async def make_indexes(self) -> None:
        await self._messages.create_index("at", expireAfterSeconds=TTL_SECONDS)

    async def append(self, message: bytes) -> None:
        """Append a message, stamped by the database's clock, which all processes share."""
        change = {"$set": {"message": {"$literal": message}, "at": "$$NOW"}}
        await self._messages.update_one({"_id": ObjectId()}, [change], upsert=True)

    async def poll(self) -> list[bytes]:
        """Messages posted since the last call; the first call returns none."""
        first = self._read_until is None
        until = self._read_until or await self._database.now()
        rows = await self._since(until - OVERLAP)
        fresh = [row for row in rows if row["_id"] not in self._read_ids]
        self._read_ids = {row["_id"] for row in rows}
        self._read_until = max([until, *(row["at"] for row in rows)])
        return [] if first else [row["message"] for row in fresh]

    async def _since(self, at: datetime) -> list[Document]:
        return await self._messages.find({"at": {"$gte": at}}).sort("at", 1).to_list()
