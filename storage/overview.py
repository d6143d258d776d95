"""Figures for the operators' overview: current state and sums of a day."""

import asyncio
from collections.abc import Container
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ledger.ranking import day_interval, day_scope
from storage.database import Collection, Database, Document
from storage.ledger import IS_DEBTOR

RECENT, WEEK = timedelta(days=1), timedelta(days=7)


class OverviewStore:
    """Each figure is one query that an index answers."""

    def __init__(self, database: Database) -> None:
        self._orders: Collection = database.collection("orders")
        self._rankings: Collection = database.collection("rankings")
        self._inbox: Collection = database.collection("inbox")
        self._members: Collection = database.collection("members")
        self._rooms: Collection = database.collection("rooms")
        self._users: Collection = database.collection("users")

    async def figures(self, day: date, attention: Container[str]) -> dict[str, Any]:
        """Current figures, and the sums of `day` (China time).

        `attention`: the events of WeChat that are counted.
        """
        names = ("rooms", "people", "orders_paid", "given", "refused", "debtors", "attention")
        found = await asyncio.gather(
            self._rooms.count_documents({"status": {"$in": ["live", "paused"]}}),
            self._members.estimated_document_count(),
            self._paid_orders(day),
            self._gift_sums(day),
            self._refused_webhooks(),
            self._users.count_documents(IS_DEBTOR),
            self._events(attention),
        )
        return dict(zip(names, found, strict=True))

    async def _paid_orders(self, day: date) -> Document:
        start, end = day_interval(day)
        sums = {"fen": {"$sum": "$fen"}, "gold": {"$sum": "$gold"}, "orders": {"$sum": 1}}
        paid = {"paid_at": {"$gte": start, "$lt": end}, "sandbox": {"$ne": True}}
        return await self._sums(self._orders, paid, sums)

    async def _gift_sums(self, day: date) -> Document:
        sums = {"gold": {"$sum": "$gold"}, "income": {"$sum": "$income"}}
        return await self._sums(self._rankings, {"scope": day_scope(day)}, sums)

    async def _sums(self, rows: Collection, where: Document, sums: Document) -> Document:
        found = await rows.aggregate([{"$match": where}, {"$group": {"_id": None, **sums}}])
        async for row in found:
            return {name: int(row[name]) for name in sums}
        return dict.fromkeys(sums, 0)

    async def _events(self, names: Container[str]) -> list[Document]:
        """These events of the last week, counted by name, the latest first."""
        recent = {"event": {"$gt": ""}, "received_at": {"$gte": datetime.now(UTC) - WEEK}}
        steps: list[Document] = [
            {"$match": recent},
            {
                "$group": {
                    "_id": "$event",
                    "times": {"$sum": 1},
                    "latest_at": {"$max": "$received_at"},
                }
            },
            {"$sort": {"latest_at": -1, "_id": 1}},
        ]
        rows = await (await self._inbox.aggregate(steps)).to_list()
        return [{"event": row.pop("_id"), **row} for row in rows if row["_id"] in names]

    async def _refused_webhooks(self) -> list[Document]:
        """Refused webhooks of the last day, counted by source and reason, most frequent first."""
        recent = {"outcome": "refused", "received_at": {"$gte": datetime.now(UTC) - RECENT}}
        key = {"source": "$source", "reason": "$reason"}
        steps: list[Document] = [
            {"$match": recent},
            {"$group": {"_id": key, "times": {"$sum": 1}}},
            {"$sort": {"times": -1, "_id": 1}},
        ]
        return [
            {**row["_id"], "times": row["times"]}
            async for row in await self._inbox.aggregate(steps)
        ]
