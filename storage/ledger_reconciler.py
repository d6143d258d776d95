"""Reconciles the ledger with balances, orders, room events and rankings."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from ledger.checks import LedgerProblem, StoredBalance, find_balance_problems
from ledger.journal import HOUSE, Balance, Unit, debt_account, user_account
from ledger.recharge import recharge_key
from storage.database import Collection, Database, Document, Session
from storage.ranking_reconciler import RankingReconciler
from storage.rooms import LOG_SIZE

MAX_PROBLEMS = 100
"""Maximum problems reported per check; with more, the exact number does not matter."""
FULL_CHECK_RATIO = 10
"""If at least one entry in FULL_CHECK_RATIO is new, the whole ledger is checked."""
USERS_PER_QUERY = 500
"""Users whose lines are summed in one query."""


class LedgerReconciler:
    """Reads from snapshots, which do not block concurrent gifts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._orders: Collection = database.collection("orders")
        self._rooms: Collection = database.collection("rooms")
        self._rankings = RankingReconciler(database)

    async def problems(self, since: datetime | None = None) -> list[LedgerProblem]:
        """Differences between the ledger and other collections; empty if all is consistent.

        With `since`, only data related to entries written from then on is checked: all lines of
        the users whose balances they changed, and the live sessions and days they belong to.
        """
        if since and not await self._is_small_part(since):
            since = None
        found: list[LedgerProblem] = []
        for check in (
            self._unbalanced,
            self._orders_without_entry,
            self._entries_without_order,
            self._double_events,
            self._events,
        ):
            with self._database.slow_operation_timeout():
                async with self._snapshot() as session:
                    found += await check(session, since)
        return [*found, *await self._balances(since), *await self._ranks(since)]

    def _snapshot(self) -> Session:
        """Session for the reads of one comparison; none is held open for longer than that."""
        return self._database.client.start_session(snapshot=True)

    async def _is_small_part(self, since: datetime) -> bool:
        """Whether so few entries are new that an incremental check is cheaper than a full one."""
        with self._database.slow_operation_timeout():
            new = await self._ledger.count_documents(_newer("at", since))
            return new * FULL_CHECK_RATIO < await self._ledger.estimated_document_count()

    async def totals(self) -> dict[str, int]:
        """Sums over all users: {"gold", "income", "owed"}, and "fen" paid less refunds."""
        with self._database.slow_operation_timeout():
            return await self._totals()

    async def _totals(self) -> dict[str, int]:
        sums: Document = {name: {"$sum": f"${name}"} for name in ("gold", "income", "owed")}
        found = {"gold": 0, "income": 0, "owed": 0, "fen": 0}
        async for row in await self._users.aggregate([{"$group": {"_id": None, **sums}}]):
            found |= {name: int(row[name]) for name in sums}
        net = {"$subtract": ["$fen", {"$ifNull": ["$refunded", 0]}]}
        steps: list[Document] = [
            {"$match": {"state": "paid", "sandbox": {"$ne": True}}},
            {"$group": {"_id": None, "fen": {"$sum": net}}},
        ]
        async for row in await self._orders.aggregate(steps):
            found["fen"] = int(row["fen"])
        return found

    async def _unbalanced(self, session: Session, since: datetime | None) -> list[LedgerProblem]:
        """Entries whose lines do not sum to zero per unit."""
        of_unit = {"entry": "$_id", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$match": _newer("at", since)},
            {"$unwind": "$lines"},
            {"$group": {"_id": of_unit, "sum": {"$sum": "$lines.amount"}}},
            {"$match": {"sum": {"$ne": 0}}},
            {"$limit": MAX_PROBLEMS},
        ]
        return [
            LedgerProblem("unbalanced", row["_id"]["entry"], f"{row['_id']['unit']}: {row['sum']}")
            async for row in self._aggregate(self._ledger, steps, session)
        ]

    async def _balances(self, since: datetime | None) -> list[LedgerProblem]:
        with self._database.slow_operation_timeout():
            async with self._snapshot() as session:
                if since is None:
                    return await self._compare({}, {}, session)
                user_ids = await self._moved_users(since, session)
        problems: list[LedgerProblem] = []
        for first in range(0, len(user_ids), USERS_PER_QUERY):
            some = user_ids[first : first + USERS_PER_QUERY]
            lines = {
                "lines.account": {
                    "$in": [of(user_id) for user_id in some for of in (user_account, debt_account)]
                }
            }
            with self._database.slow_operation_timeout():
                async with self._snapshot() as session:
                    problems += await self._compare(lines, {"_id": {"$in": some}}, session)
        return problems[:MAX_PROBLEMS]

    async def _compare(
        self, lines: Document, users: Document, session: Session
    ) -> list[LedgerProblem]:
        """Compare the sums of the matching lines with the balances stored on the matching users."""
        of_account = {"account": "$lines.account", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$match": lines},
            {"$unwind": "$lines"},
            {"$match": lines},
            {"$group": {"_id": of_account, "sum": {"$sum": "$lines.amount"}}},
        ]
        sums: dict[tuple[str, Unit], int] = {
            (row["_id"]["account"], row["_id"]["unit"]): row["sum"]
            async for row in self._aggregate(self._ledger, steps, session)
        }
        projection = {"gold": 1, "income": 1, "owed": 1}
        balances = [
            StoredBalance(row["_id"], Balance(row["gold"], row["income"]), row.get("owed", 0))
            async for row in self._users.find(users, projection, session=session)
        ]
        return find_balance_problems(sums, balances)[:MAX_PROBLEMS]

    async def _moved_users(self, since: datetime, session: Session) -> list[str]:
        """user_ids whose balance or debt was changed since then."""
        steps: list[Document] = [
            {"$match": _newer("at", since)},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": {"$ne": HOUSE}}},
            {"$group": {"_id": "$lines.account"}},
        ]
        rows = self._aggregate(self._ledger, steps, session)
        return sorted({row["_id"].partition(":")[2] async for row in rows})

    async def _orders_without_entry(
        self, session: Session, since: datetime | None
    ) -> list[LedgerProblem]:
        steps: list[Document] = [
            {"$match": {"state": "paid", **_newer("paid_at", since)}},
            {"$set": {"key": {"$concat": [recharge_key(""), "$_id"]}}},
            {"$lookup": _lookup("ledger", "key")},
            {"$match": {"found": []}},
            {"$limit": MAX_PROBLEMS},
        ]
        rows = self._aggregate(self._orders, steps, session)
        return [LedgerProblem("unbooked_order", row["_id"]) async for row in rows]

    async def _entries_without_order(
        self, session: Session, since: datetime | None
    ) -> list[LedgerProblem]:
        number = {"$substrCP": ["$_id", len(recharge_key("")), 64]}
        steps: list[Document] = [
            {"$match": {"kind": "recharge", **_newer("at", since)}},
            {"$set": {"number": number}},
            {"$lookup": _lookup("orders", "number")},
            {"$match": {"found.state": {"$ne": "paid"}}},
            {"$limit": MAX_PROBLEMS},
        ]
        rows = self._aggregate(self._ledger, steps, session)
        return [LedgerProblem("unpaid_entry", row["_id"]) async for row in rows]

    async def _double_events(self, session: Session, since: datetime | None) -> list[LedgerProblem]:
        """Entries that refer to the same room event."""
        sessions = await self._live_sessions(since, session) if since else [{"seq": {"$gt": 0}}]
        event = {"live_id": "$live_id", "epoch": "$epoch", "seq": "$seq"}
        group = {"_id": event, "entries": {"$push": "$_id"}, "n": {"$sum": 1}}
        problems: list[LedgerProblem] = []
        for where in sessions:
            steps: list[Document] = [
                {"$match": where},
                {"$group": group},
                {"$match": {"n": {"$gt": 1}}},
                {"$limit": MAX_PROBLEMS},
            ]
            rows = self._aggregate(self._ledger, steps, session)
            problems += [
                LedgerProblem("double_event", ", ".join(row["entries"])) async for row in rows
            ]
        return problems[:MAX_PROBLEMS]

    async def _live_sessions(self, since: datetime, session: Session) -> list[Document]:
        """Filters for entries that may share an event with a new one, one per live session."""
        key = {"live_id": "$live_id", "epoch": "$epoch"}
        steps: list[Document] = [
            {"$match": {"seq": {"$gt": 0}, **_newer("at", since)}},
            {"$group": {"_id": key, "first": {"$min": "$seq"}}},
        ]
        rows = self._aggregate(self._ledger, steps, session)
        return [{**row["_id"], "seq": {"$gte": row["first"]}} async for row in rows]

    async def _events(self, session: Session, since: datetime | None) -> list[LedgerProblem]:
        """Gift entries without an event in their room's log, and gift events without an entry.

        Only the events that the log of the current live session still holds are compared.
        """
        problems: list[LedgerProblem] = []
        projection = {"epoch": 1, "version": 1, "log": 1}
        rooms: Document = {}
        if since:
            where = {"seq": {"$gt": 0}, **_newer("at", since)}
            live_ids = await self._ledger.distinct("live_id", where, session=session)
            rooms = {"_id": {"$in": live_ids}}
        async for room in self._rooms.find(rooms, projection, session=session):
            logged = {row["seq"] for row in room["log"].values() if row["type"] == "gift"}
            after = room["version"] - min(room["version"], LOG_SIZE)
            where = {"live_id": room["_id"], "epoch": room["epoch"], "seq": {"$gt": after}}
            rows = self._ledger.find(where, {"seq": 1}, session=session)
            entries = {row["seq"]: row["_id"] async for row in rows}
            missing = sorted(entries[seq] for seq in entries.keys() - logged)
            problems += [LedgerProblem("missing_event", entry) for entry in missing]
            unbooked = sorted(logged - entries.keys())
            problems += [
                LedgerProblem("unbooked_event", f"{room['_id']}/{seq}") for seq in unbooked
            ]
        return problems[:MAX_PROBLEMS]

    async def _ranks(self, since: datetime | None) -> list[LedgerProblem]:
        """Rankings that differ from the sums of their gifts."""
        problems: list[LedgerProblem] = []
        with self._database.slow_operation_timeout():
            async with self._snapshot() as session:
                scopes = await self._rankings.scopes(since, session)
                strays = [] if since else await self._rankings.invalid_scopes(session)
        problems += [LedgerProblem("rank", name, "is no ranking") for name in strays]
        for scope in scopes:
            with self._database.slow_operation_timeout():
                async with self._snapshot() as session:
                    found = await self._rankings.differences(scope, session)
            problems += [
                LedgerProblem("rank", f"{scope}:{user_id}", text) for user_id, text in found
            ]
        return problems[:MAX_PROBLEMS]

    async def _aggregate(
        self, rows: Collection, steps: list[Document], session: Session
    ) -> AsyncIterator[Any]:
        async for row in await rows.aggregate(steps, session=session, allowDiskUse=True):
            yield row


def _newer(field: str, since: datetime | None) -> Document:
    return {field: {"$gte": since}} if since else {}


def _lookup(collection: str, local: str) -> Document:
    return {"from": collection, "localField": local, "foreignField": "_id", "as": "found"}
