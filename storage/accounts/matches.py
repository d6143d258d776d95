"""matches: one document per two users of whom one likes the other, or who had a date."""

from people.matches import Pair
from storage.versioned import VersionedStore
from storage.write_batch import WriteBatch


class MatchStore(VersionedStore[Pair]):
    """Likes, dates and matches of pairs."""

    name, kind = "matches", Pair

    async def make_indexes(self) -> None:
        await self._documents.create_index([("users", 1), ("matched_at", -1)])

    async def of(self, user_id: str, other_id: str) -> Pair:
        """Return the pair of two users, a new one if none is stored."""
        new = Pair.of(user_id, other_id)
        return await self.find(new.id) or new

    async def commit(self, batch: WriteBatch) -> None:
        """Write a batch atomically. Raises WriteConflict if a pair was saved since it was read."""
        await self._commits.commit(batch)

    async def matches(self, user_id: str, skip: int, limit: int) -> list[Pair]:
        """Return matches of a user, the newest first."""
        where = {"users": user_id, "matched_at": {"$gt": 0}, "ended": False}
        rows = self._documents.find(where).sort([("matched_at", -1), ("_id", 1)])
        return [self.parse(row) async for row in rows.skip(skip).limit(limit)]

    async def partners(self, user_id: str) -> list[str]:
        """Return all users with whom a user is or was matched."""
        rows = self._documents.find({"users": user_id, "matched_at": {"$gt": 0}})
        return [self.parse(row).other(user_id) async for row in rows]

    async def decide_again(self, user_id: str) -> None:
        """Have all matches of a user that are being made decided again."""
        unmatched = {"users": user_id, "matched_at": 0}
        await self._documents.update_many(unmatched, {"$inc": {"version": 1}})
