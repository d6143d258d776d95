"""ranks: how much each has given and taken in one live and on one day, kept beside the book."""

from collections.abc import Iterable

from pymongo import UpdateOne

from money.rank import Mark
from storage.database import Collection, Database, Document, Session

MOST = 50
"""Rows of a ranking that are shown."""


class Ranks:
    """Changed only in the transaction that writes the gifts; rankings.py has the fold."""

    def __init__(self, database: Database) -> None:
        self._ranks: Collection = database.collection("ranks")

    async def make_indexes(self) -> None:
        await self._ranks.create_index([("scope", 1), ("gold", -1), ("user_id", 1)])
        await self._ranks.create_index([("scope", 1), ("income", -1), ("user_id", 1)])

    async def add(self, marks: Iterable[Mark], session: Session) -> None:
        if changes := [_adds(mark) for mark in marks]:
            await self._ranks.bulk_write(changes, session=session)

    async def top(self, scope: str, unit: str, limit: int = MOST) -> list[tuple[str, int]]:
        """(user_id, amount) of those with the most "gold" given or "income" taken."""
        where: Document = {"scope": scope, unit: {"$gt": 0}}
        rows = self._ranks.find(where, {"user_id": 1, unit: 1}).sort([(unit, -1), ("user_id", 1)])
        return [(row["user_id"], row[unit]) for row in await rows.to_list(limit)]


def name_of(mark: Mark) -> str:
    """The `_id` of the place."""
    return f"{mark.scope}:{mark.user_id}"


def _adds(mark: Mark) -> UpdateOne:
    return UpdateOne(
        {"_id": name_of(mark)},
        {
            "$inc": {"gold": mark.gold, "income": mark.income},
            "$setOnInsert": {"scope": mark.scope, "user_id": mark.user_id},
        },
        upsert=True,
    )
