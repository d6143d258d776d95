"""follows: one document per follower and followed user. follower_counts: followers of a user.

The `_id` of a follow has the followed user first, so that it orders the followers of a user.
"""

from collections.abc import Awaitable, Sequence
from collections.abc import Collection as Group
from datetime import UTC, datetime
from typing import NamedTuple

from core.batching import RequestBatcher
from core.retry import retry_on_conflict
from storage.database import Collection, Database
from storage.documents import is_over, make_partial_index, starts_with
from storage.errors import TooManyFollows
from storage.write_batch import GroupCommit, WriteBatch

MAX_FOLLOWS = 1_000
"""Users whom one user may follow: the list of them is read as a whole, about 100 KB."""
MAX_CHANGES = 100
"""Follows of one user that are written together."""


class FollowChange(NamedTuple):
    """A user follows, while a live of this epoch runs ("" without one), or unfollows (None)."""

    by: str
    epoch: str | None


class FollowStore:
    """Follows, each counted in the transaction that adds or ends it.

    A process writes the follows of one user in one transaction at a time. A host asks her viewers
    to follow her: 200 transactions of two processes on one count took 6 s, and 400 of four failed.
    """

    def __init__(self, database: Database) -> None:
        self._follows: Collection = database.collection("follows")
        self._by_id = database.joint_reads.by_id("follows", lambda row: row)
        self._counts = database.joint_reads.by_id("follower_counts", lambda row: int(row["n"]))
        self._commits = GroupCommit(database)
        self._changes: RequestBatcher[FollowChange, bool] = RequestBatcher(
            self._change, MAX_CHANGES
        )

    async def make_indexes(self) -> None:
        await self._follows.create_index([("by", 1), ("at", -1)])
        await make_partial_index(self._follows, "epoch", "")

    async def put(self, by: str, of: str, epoch: str = "") -> None:
        """Follow a user. `epoch` is that of the live that they host, whose report counts it.

        Raises TooManyFollows beyond MAX_FOLLOWS.
        """
        is_new = await self._changes.submit(of, FollowChange(by, epoch))
        if is_new and await is_over(self._follows, {"by": by}, MAX_FOLLOWS):
            await self.drop(by, of)
            raise TooManyFollows

    async def drop(self, by: str, of: str) -> None:
        """Stop following a user; no error without a follow."""
        await self._changes.submit(of, FollowChange(by, None))

    async def _change(self, of: str, changes: Sequence[FollowChange]) -> list[bool]:
        """Save changes of the followers of one user; of those by one follower, the last counts.

        Return of each whether its follower is a new one.
        """
        wanted, now = {_id(by, of): (by, epoch) for by, epoch in changes}, datetime.now(UTC)

        async def save() -> set[str]:
            batch, gained, added = WriteBatch(), 0, set()
            stored = await self._by_id.get_many([*wanted])
            for row, (id_, (by, epoch)) in zip(stored, wanted.items(), strict=True):
                if row and epoch is None:
                    batch.delete("follows", {"_id": id_})
                    gained -= 1
                elif not row and epoch is not None:
                    new = {"_id": id_, "by": by, "of": of, "at": now, "epoch": epoch}
                    batch.insert("follows", new)
                    gained += 1
                    added.add(by)
            if len(batch):
                batch.upsert("follower_counts", {"_id": of}, {"$inc": {"n": gained}})
                await self._commits.commit(batch)
            return added

        added = await retry_on_conflict(save)
        return [by in added for by, _ in changes]

    async def drop_all(self, by: str) -> None:
        """Stop following all users."""
        for of in await self.followed_by(by):
            await self.drop(by, of)

    def has(self, by: str, of: str) -> Awaitable[bool]:
        return self._by_id.read([_id(by, of)], any)

    def count(self, user_id: str) -> Awaitable[int]:
        """Return the number of followers of a user."""
        return self._counts.read([user_id], lambda counts: counts[0] or 0)

    async def followed_by(self, user_id: str) -> list[str]:
        """Return all users whom a user follows, the newest follow first."""
        rows = self._follows.find({"by": user_id}, {"of": 1}).sort("at", -1)
        return [row["of"] async for row in rows]

    async def followers(self, user_id: str, after: str, limit: int) -> list[str]:
        """Return followers of a user in the order of their ids, starting after the id `after`."""
        bounds = {**starts_with(f"{user_id}:"), "$gt": _id(after, user_id)}
        rows = self._follows.find({"_id": bounds}, {"by": 1}).sort("_id", 1).limit(limit)
        return [row["by"] async for row in rows]

    async def followers_among(self, user_id: str, others: Group[str]) -> set[str]:
        """Return the others who follow a user."""
        rows = await self._by_id.get_many([_id(other, user_id) for other in others])
        return {row["by"] for row in rows if row}


def _id(by: str, of: str) -> str:
    return f"{of}:{by}"
