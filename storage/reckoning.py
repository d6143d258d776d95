"""The whole book against all that is kept beside it, at one instant, whatever goes on meanwhile."""

from collections.abc import AsyncIterator
from typing import Any

from money.book import Purse, Unit
from money.check import Kept, Problem, compare
from money.recharge import key_of
from storage.database import Collection, Database, Document, Session
from storage.rooms import LOG

MOST = 100
"""Problems of one kind that are told; after so many something is wrong altogether."""


class Reckoning:
    """Reads on a snapshot, so that gifts go on beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._orders: Collection = database.collection("orders")
        self._rooms: Collection = database.collection("rooms")

    async def problems(self) -> list[Problem]:
        """None when every unit is accounted for."""
        with self._database.patiently():
            return await self._problems()

    async def _problems(self) -> list[Problem]:
        async with self._database.client.start_session(snapshot=True) as session:
            return [
                *await self._unbalanced(session),
                *await self._balances(session),
                *await self._orders_without_entry(session),
                *await self._entries_without_order(session),
                *await self._double_events(session),
                *await self._events(session),
            ]

    async def totals(self) -> dict[str, int]:
        """What all people have together, {"gold", "income", "owed"}, and "fen" that were paid."""
        with self._database.patiently():
            return await self._totals()

    async def _totals(self) -> dict[str, int]:
        sums: Document = {name: {"$sum": f"${name}"} for name in ("gold", "income", "owed")}
        found = {"gold": 0, "income": 0, "owed": 0, "fen": 0}
        async for row in await self._users.aggregate([{"$group": {"_id": None, **sums}}]):
            found |= {name: int(row[name]) for name in sums}
        kept = {"$subtract": ["$fen", {"$ifNull": ["$refunded", 0]}]}
        paid: list[Document] = [
            {"$match": {"state": "paid"}},
            {"$group": {"_id": None, "fen": {"$sum": kept}}},
        ]
        async for row in await self._orders.aggregate(paid):
            found["fen"] = int(row["fen"])
        return found

    async def _unbalanced(self, session: Session) -> list[Problem]:
        """Entries whose lines do not sum to zero."""
        of_unit = {"entry": "$_id", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$unwind": "$lines"},
            {"$group": {"_id": of_unit, "sum": {"$sum": "$lines.amount"}}},
            {"$match": {"sum": {"$ne": 0}}},
            {"$limit": MOST},
        ]
        return [
            Problem("unbalanced", row["_id"]["entry"], f"{row['_id']['unit']}: {row['sum']}")
            async for row in self._all(self._ledger, steps, session)
        ]

    async def _balances(self, session: Session) -> list[Problem]:
        of_account = {"account": "$lines.account", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$unwind": "$lines"},
            {"$group": {"_id": of_account, "sum": {"$sum": "$lines.amount"}}},
        ]
        sums: dict[tuple[str, Unit], int] = {
            (row["_id"]["account"], row["_id"]["unit"]): row["sum"]
            async for row in self._all(self._ledger, steps, session)
        }
        shown = {"gold": 1, "income": 1, "owed": 1}
        everybody = [
            Kept(row["_id"], Purse(row["gold"], row["income"]), row.get("owed", 0))
            async for row in self._users.find({}, shown, session=session)
        ]
        return compare(sums, everybody)[:MOST]

    async def _orders_without_entry(self, session: Session) -> list[Problem]:
        steps: list[Document] = [
            {"$match": {"state": "paid"}},
            {"$set": {"key": {"$concat": [key_of(""), "$_id"]}}},
            {"$lookup": _other("ledger", "key")},
            {"$match": {"found": []}},
            {"$limit": MOST},
        ]
        rows = self._all(self._orders, steps, session)
        return [Problem("unbooked_order", row["_id"]) async for row in rows]

    async def _entries_without_order(self, session: Session) -> list[Problem]:
        number = {"$substrCP": ["$_id", len(key_of("")), 64]}
        steps: list[Document] = [
            {"$match": {"kind": "recharge"}},
            {"$set": {"number": number}},
            {"$lookup": _other("orders", "number")},
            {"$match": {"found.state": {"$ne": "paid"}}},
            {"$limit": MOST},
        ]
        rows = self._all(self._ledger, steps, session)
        return [Problem("unpaid_entry", row["_id"]) async for row in rows]

    async def _double_events(self, session: Session) -> list[Problem]:
        """Two entries that name one event."""
        event = {"live_id": "$live_id", "epoch": "$epoch", "seq": "$seq"}
        steps: list[Document] = [
            {"$match": {"seq": {"$gt": 0}}},
            {"$group": {"_id": event, "entries": {"$push": "$_id"}, "n": {"$sum": 1}}},
            {"$match": {"n": {"$gt": 1}}},
            {"$limit": MOST},
        ]
        rows = self._all(self._ledger, steps, session)
        return [Problem("double_event", ", ".join(row["entries"])) async for row in rows]

    async def _events(self, session: Session) -> list[Problem]:
        """Gifts in the book whose event is not in the log of their room, and the other way round,
        as far as the logs of the present lives go."""
        problems: list[Problem] = []
        shown = {"epoch": 1, "version": 1, "log": 1}
        async for room in self._rooms.find({}, shown, session=session):
            told = {row["seq"] for row in room["log"].values() if row["type"] == "gift"}
            after = room["version"] - min(room["version"], LOG)
            where = {"live_id": room["_id"], "epoch": room["epoch"], "seq": {"$gt": after}}
            booked = self._ledger.find(where, {"seq": 1}, session=session)
            entries = {row["seq"]: row["_id"] async for row in booked}
            lost = sorted(entries[seq] for seq in entries.keys() - told)
            problems += [Problem("missing_event", entry) for entry in lost]
            strange = sorted(told - entries.keys())
            problems += [Problem("unbooked_event", f"{room['_id']}/{seq}") for seq in strange]
        return problems[:MOST]

    async def _all(
        self, rows: Collection, steps: list[Document], session: Session
    ) -> AsyncIterator[Any]:
        async for row in await rows.aggregate(steps, session=session, allowDiskUse=True):
            yield row


def _other(collection: str, local: str) -> Document:
    return {"from": collection, "localField": local, "foreignField": "_id", "as": "found"}
