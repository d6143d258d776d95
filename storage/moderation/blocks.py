"""user_blocks: one document per user and user whom they have blocked."""

from collections.abc import Collection as Group
from datetime import UTC, datetime
from operator import not_

from core.cache import Cache
from storage.database import Collection, Database
from storage.documents import documents_by_id
from storage.errors import TooManyBlocks

MAX_BLOCKS = 500
"""Users whom one user may block, about 60 KB."""
FREE_SECONDS, MAX_FREE = 0.5, 10_000
"""For so long a pair without a block is remembered: without that, a gift takes 8 % more CPU."""


class UserBlockStore:
    """Blocks between users. `has_blocks` of both users is set from the first one on.

    Readers of a user without it need not look here.
    """

    def __init__(self, database: Database) -> None:
        self._blocks: Collection = database.collection("user_blocks")
        self._users: Collection = database.collection("users")
        self._apart: Cache[tuple[str, str], bool] = Cache(FREE_SECONDS, MAX_FREE, keeps=not_)
        self._by_id = documents_by_id(self._blocks, lambda row: str(row["_id"]))

    async def make_indexes(self) -> None:
        await self._blocks.create_index([("by", 1), ("at", -1)])

    async def put(self, by: str, of: str) -> None:
        """Block a user. Raises TooManyBlocks if the user has MAX_BLOCKS.

        Flags that no block follows do no harm.
        """
        if await self._blocks.count_documents({"by": by}, limit=MAX_BLOCKS) >= MAX_BLOCKS:
            raise TooManyBlocks
        await self._users.update_many({"_id": {"$in": [by, of]}}, {"$set": {"has_blocks": True}})
        row = {"by": by, "of": of, "at": datetime.now(UTC)}
        await self._blocks.update_one({"_id": _id(by, of)}, {"$setOnInsert": row}, upsert=True)
        self._apart.clear()

    async def drop(self, by: str, of: str) -> None:
        await self._blocks.delete_one({"_id": _id(by, of)})

    async def blocked_by(self, user_id: str) -> list[str]:
        """Return the users whom a user has blocked, newest first."""
        rows = await self._blocks.find({"by": user_id}).sort("at", -1).to_list()
        return [row["of"] for row in rows]

    async def among(self, user_id: str, others: Group[str]) -> set[str]:
        """Return the others whom the user has blocked, or who have blocked the user."""
        pairs = {other: {_id(user_id, other), _id(other, user_id)} for other in others}
        found = {*await self._by_id.get_many([id_ for ids in pairs.values() for id_ in ids])}
        return {other for other, ids in pairs.items() if ids & found}

    async def are_apart(self, user_id: str, other_id: str) -> bool:
        """Return whether one of two users has blocked the other.

        A change in another process shows after at most FREE_SECONDS.
        """

        async def read() -> bool:
            return bool(await self.among(user_id, [other_id]))

        return await self._apart.load((user_id, other_id), read)


def _id(by: str, of: str) -> str:
    return f"{by}:{of}"
