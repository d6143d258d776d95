"""The whole book against all that is kept beside it, whatever goes on meanwhile."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from money.book import HOUSE, Purse, Unit, account, debt
from money.check import Kept, Problem, compare
from money.recharge import key_of
from storage.database import Collection, Database, Document, Session
from storage.rankings import Rankings
from storage.rooms import LOG

MOST = 100
"""Problems of one kind that are told; after so many something is wrong altogether."""
MUCH = 10
"""When more than a tenth of the book is new, all of it is looked at."""
AT_ONCE = 500
"""People whose lines are summed in one query."""


class Reckoning:
    """Reads on snapshots, so that gifts go on beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._orders: Collection = database.collection("orders")
        self._rooms: Collection = database.collection("rooms")
        self._rankings = Rankings(database)

    async def problems(self, since: datetime | None = None) -> list[Problem]:
        """None when every unit is accounted for. With `since`, only what has to do with the
        entries written from then on is looked at: all lines of the people whom they moved, the
        lives and days to which they belong."""
        if since and not await self._few(since):
            since = None
        found: list[Problem] = []
        for part in (
            self._unbalanced,
            self._orders_without_entry,
            self._entries_without_order,
            self._double_events,
            self._events,
        ):
            with self._database.patiently():
                async with self._snapshot() as session:
                    found += await part(session, since)
        return [*found, *await self._balances(since), *await self._ranks(since)]

    def _snapshot(self) -> Session:
        """What is compared is read from one; none has to last longer than that."""
        return self._database.client.start_session(snapshot=True)

    async def _few(self, since: datetime) -> bool:
        """Whether it is cheaper not to read the whole book."""
        with self._database.patiently():
            new = await self._ledger.count_documents(_from("at", since))
            return new * MUCH < await self._ledger.estimated_document_count()

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
            {"$match": {"state": "paid", "sandbox": {"$ne": True}}},
            {"$group": {"_id": None, "fen": {"$sum": kept}}},
        ]
        async for row in await self._orders.aggregate(paid):
            found["fen"] = int(row["fen"])
        return found

    async def _unbalanced(self, session: Session, since: datetime | None) -> list[Problem]:
        """Entries whose lines do not sum to zero."""
        of_unit = {"entry": "$_id", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$match": _from("at", since)},
            {"$unwind": "$lines"},
            {"$group": {"_id": of_unit, "sum": {"$sum": "$lines.amount"}}},
            {"$match": {"sum": {"$ne": 0}}},
            {"$limit": MOST},
        ]
        return [
            Problem("unbalanced", row["_id"]["entry"], f"{row['_id']['unit']}: {row['sum']}")
            async for row in self._all(self._ledger, steps, session)
        ]

    async def _balances(self, since: datetime | None) -> list[Problem]:
        with self._database.patiently():
            async with self._snapshot() as session:
                if since is None:
                    return await self._compare({}, {}, session)
                touched = await self._touched(since, session)
        problems: list[Problem] = []
        for first in range(0, len(touched), AT_ONCE):
            names = touched[first : first + AT_ONCE]
            lines = {
                "lines.account": {"$in": [of(name) for name in names for of in (account, debt)]}
            }
            with self._database.patiently():
                async with self._snapshot() as session:
                    problems += await self._compare(lines, {"_id": {"$in": names}}, session)
        return problems[:MOST]

    async def _compare(self, lines: Document, people: Document, session: Session) -> list[Problem]:
        """The sums of these lines with what stands on these people."""
        of_account = {"account": "$lines.account", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$match": lines},
            {"$unwind": "$lines"},
            {"$match": lines},
            {"$group": {"_id": of_account, "sum": {"$sum": "$lines.amount"}}},
        ]
        sums: dict[tuple[str, Unit], int] = {
            (row["_id"]["account"], row["_id"]["unit"]): row["sum"]
            async for row in self._all(self._ledger, steps, session)
        }
        shown = {"gold": 1, "income": 1, "owed": 1}
        everybody = [
            Kept(row["_id"], Purse(row["gold"], row["income"]), row.get("owed", 0))
            async for row in self._users.find(people, shown, session=session)
        ]
        return compare(sums, everybody)[:MOST]

    async def _touched(self, since: datetime, session: Session) -> list[str]:
        """Whose purse or debt was moved."""
        steps: list[Document] = [
            {"$match": _from("at", since)},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": {"$ne": HOUSE}}},
            {"$group": {"_id": "$lines.account"}},
        ]
        rows = self._all(self._ledger, steps, session)
        return sorted({row["_id"].partition(":")[2] async for row in rows})

    async def _orders_without_entry(
        self, session: Session, since: datetime | None
    ) -> list[Problem]:
        steps: list[Document] = [
            {"$match": {"state": "paid", **_from("paid_at", since)}},
            {"$set": {"key": {"$concat": [key_of(""), "$_id"]}}},
            {"$lookup": _other("ledger", "key")},
            {"$match": {"found": []}},
            {"$limit": MOST},
        ]
        rows = self._all(self._orders, steps, session)
        return [Problem("unbooked_order", row["_id"]) async for row in rows]

    async def _entries_without_order(
        self, session: Session, since: datetime | None
    ) -> list[Problem]:
        number = {"$substrCP": ["$_id", len(key_of("")), 64]}
        steps: list[Document] = [
            {"$match": {"kind": "recharge", **_from("at", since)}},
            {"$set": {"number": number}},
            {"$lookup": _other("orders", "number")},
            {"$match": {"found.state": {"$ne": "paid"}}},
            {"$limit": MOST},
        ]
        rows = self._all(self._ledger, steps, session)
        return [Problem("unpaid_entry", row["_id"]) async for row in rows]

    async def _double_events(self, session: Session, since: datetime | None) -> list[Problem]:
        """Two entries that name one event."""
        lives = await self._lives(since, session) if since else [{"seq": {"$gt": 0}}]
        event = {"live_id": "$live_id", "epoch": "$epoch", "seq": "$seq"}
        group = {"_id": event, "entries": {"$push": "$_id"}, "n": {"$sum": 1}}
        problems: list[Problem] = []
        for life in lives:
            steps: list[Document] = [
                {"$match": life},
                {"$group": group},
                {"$match": {"n": {"$gt": 1}}},
                {"$limit": MOST},
            ]
            rows = self._all(self._ledger, steps, session)
            problems += [Problem("double_event", ", ".join(row["entries"])) async for row in rows]
        return problems[:MOST]

    async def _lives(self, since: datetime, session: Session) -> list[Document]:
        """Which entries an event of since then may be one of."""
        key = {"live_id": "$live_id", "epoch": "$epoch"}
        steps: list[Document] = [
            {"$match": {"seq": {"$gt": 0}, **_from("at", since)}},
            {"$group": {"_id": key, "first": {"$min": "$seq"}}},
        ]
        rows = self._all(self._ledger, steps, session)
        return [{**row["_id"], "seq": {"$gte": row["first"]}} async for row in rows]

    async def _events(self, session: Session, since: datetime | None) -> list[Problem]:
        """Gifts in the book whose event is not in the log of their room, and the other way round,
        as far as the logs of the present lives go."""
        problems: list[Problem] = []
        shown = {"epoch": 1, "version": 1, "log": 1}
        rooms: Document = {}
        if since:
            where = {"seq": {"$gt": 0}, **_from("at", since)}
            given_in = await self._ledger.distinct("live_id", where, session=session)
            rooms = {"_id": {"$in": given_in}}
        async for room in self._rooms.find(rooms, shown, session=session):
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

    async def _ranks(self, since: datetime | None) -> list[Problem]:
        """Rankings that are not the fold of their gifts."""
        problems: list[Problem] = []
        with self._database.patiently():
            async with self._snapshot() as session:
                scopes = await self._rankings.scopes(since, session)
                strays = [] if since else await self._rankings.strays(session)
        problems += [Problem("rank", name, "is no ranking") for name in strays]
        for scope in scopes:
            with self._database.patiently():
                async with self._snapshot() as session:
                    found = await self._rankings.differences(scope, session)
            problems += [Problem("rank", f"{scope}:{who}", words) for who, words in found]
        return problems[:MOST]

    async def _all(
        self, rows: Collection, steps: list[Document], session: Session
    ) -> AsyncIterator[Any]:
        async for row in await rows.aggregate(steps, session=session, allowDiskUse=True):
            yield row


def _from(field: str, since: datetime | None) -> Document:
    return {field: {"$gte": since}} if since else {}


def _other(collection: str, local: str) -> Document:
    return {"from": collection, "localField": local, "foreignField": "_id", "as": "found"}
