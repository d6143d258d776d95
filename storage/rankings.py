"""ranks: gold given and income received per user, by live session and by day."""

from collections.abc import Iterable

from pymongo import UpdateOne

from ledger.ranking import RankingChange
from storage.database import Collection, Database, Document, Session
from storage.write_batch import WriteBatch

DEFAULT_LIMIT = 50
"""Default number of rows of a ranking."""


class RankingStore:
    """Materialized rankings, updated in the transaction that writes or reverses a gift.

    ledger/ranking.py computes the changes, storage/ranking_reconciler.py repairs the rows.
    """

    def __init__(self, database: Database) -> None:
        self._ranks: Collection = database.collection("ranks")

    async def make_indexes(self) -> None:
        await self._ranks.create_index([("scope", 1), ("gold", -1), ("user_id", 1)])
        await self._ranks.create_index([("scope", 1), ("income", -1), ("user_id", 1)])

    async def add(self, changes: Iterable[RankingChange], session: Session) -> None:
        if updates := [_upsert(change) for change in changes]:
            await self._ranks.bulk_write(updates, session=session)

    def add_writes(self, changes: Iterable[RankingChange], batch: WriteBatch) -> None:
        for change in changes:
            batch.upsert("ranks", {"_id": row_id(change)}, _addition(change))

    async def top(self, scope: str, unit: str, limit: int = DEFAULT_LIMIT) -> list[tuple[str, int]]:
        """The highest (user_id, amount) by "gold" given or "income" received."""
        where: Document = {"scope": scope, unit: {"$gt": 0}}
        rows = self._ranks.find(where, {"user_id": 1, unit: 1}).sort([(unit, -1), ("user_id", 1)])
        return [(row["user_id"], row[unit]) for row in await rows.to_list(limit)]


def row_id(change: RankingChange) -> str:
    """`_id` of the user's row in a ranking."""
    return f"{change.scope}:{change.user_id}"


def _upsert(change: RankingChange) -> UpdateOne:
    return UpdateOne({"_id": row_id(change)}, _addition(change), upsert=True)


def _addition(change: RankingChange) -> Document:
    return {
        "$inc": {"gold": change.gold, "income": change.income},
        "$setOnInsert": {"scope": change.scope, "user_id": change.user_id},
    }
