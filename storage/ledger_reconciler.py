"""Reconciles the ledger with balances, orders, room events and rankings."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from ledger.checks import LedgerProblem, StoredBalance, find_balance_problems
from ledger.journal import Balance, Unit, debt_account, user_account
from ledger.recharge import recharge_key
from storage.balance_differences import (
    OF_USERS,
    USER_OF_LINE,
    maybe_unbalanced,
    suspicious_accounts,
)
from storage.database import Collection, Database, Document, Session
from storage.documents import stream
from storage.ranking_reconciler import RankingReconciler
from storage.rooms import LOG_SIZE
from storage.withdrawal_reconciler import WithdrawalReconciler

MAX_PROBLEMS = 100
"""Maximum problems reported per check; with more, the exact number does not matter."""
FULL_CHECK_RATIO = 10
"""If at least one entry in FULL_CHECK_RATIO is new, the whole ledger is checked."""
USERS_PER_QUERY = 500
"""Users whose lines are summed in one query."""
ROOMS_PER_QUERY = 200
"""Rooms whose events are compared on one snapshot."""
USER_SUMS = ("gold", "income", "owed", "owed_income")
"""Amounts of a user that are sums of postings."""
GIFT_ROWS = {
    "$filter": {"input": {"$objectToArray": "$log"}, "cond": {"$eq": ["$$this.v.type", "gift"]}}
}
GIFTS_OF_ROOMS: list[Document] = [
    {"$sort": {"_id": 1}},
    {"$limit": ROOMS_PER_QUERY},
    {
        "$project": {
            "epoch": 1,
            "version": 1,
            "gifts": {"$map": {"input": GIFT_ROWS, "in": "$$this.v.seq"}},
        }
    },
]
"""Steps on `rooms`: the numbers of the gift events in the log, a hundredth of its size."""


class LedgerReconciler:
    """Reads from snapshots, which do not block concurrent gifts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._orders: Collection = database.collection("orders")
        self._rooms: Collection = database.collection("rooms")
        self._rankings = RankingReconciler(database)
        self._withdrawals = WithdrawalReconciler(database)

    async def problems(self, since: datetime | None = None) -> list[LedgerProblem]:
        """Differences between the ledger and other collections; empty if all is consistent.

        With `since`, only data related to entries written from then on is checked: all lines of
        the users whose balances they changed, and the live sessions and days they belong to.

        The collections are compared in the database, or a few hundred users or rooms at a time, so
        that neither memory nor pauses of the event loop grow with them.
        """
        if since and not await self._is_small_part(since):
            since = None
        found: list[LedgerProblem] = []
        for check in (
            self._unbalanced,
            self._orders_without_entry,
            self._entries_without_order,
            self._double_events,
            self._withdrawals.held_problems,
            self._withdrawals.payout_problems,
        ):
            with self._database.slow_operation_timeout():
                async with self._snapshot() as session:
                    found += await check(session, since)
        balances = self._changed_balances(since) if since else self._all_balances()
        return [*found, *await self._events(since), *await balances, *await self._ranks(since)]

    def _snapshot(self) -> Session:
        """Session for the reads of one comparison; none is held open for longer than that."""
        return self._database.client.start_session(snapshot=True)

    async def _is_small_part(self, since: datetime) -> bool:
        """Whether so few entries are new that an incremental check is cheaper than a full one."""
        with self._database.slow_operation_timeout():
            new = await self._ledger.count_documents(_newer("at", since))
            return new * FULL_CHECK_RATIO < await self._ledger.estimated_document_count()

    async def totals(self) -> dict[str, int]:
        """Sums over all users and orders.

        {"gold", "income", "owed", "owed_income"}, "fen" paid less refunds, the income "held" for
        withdrawals, and the "withdrawn_fen" paid by them. An order of a confirmed refund case
        counts as refunded, also if an operator has settled it.
        """
        with self._database.slow_operation_timeout():
            return await self._totals()

    async def _totals(self) -> dict[str, int]:
        sums: Document = {name: {"$sum": f"${name}"} for name in USER_SUMS}
        found = dict.fromkeys((*USER_SUMS, "fen"), 0)
        async for row in await self._users.aggregate([{"$group": {"_id": None, **sums}}]):
            found |= {name: int(row[name]) for name in sums}
        net = {"$subtract": ["$fen", {"$ifNull": ["$refunded", 0]}]}
        steps: list[Document] = [
            {"$match": {"state": "paid", "sandbox": {"$ne": True}}},
            {"$group": {"_id": None, "fen": {"$sum": net}}},
        ]
        async for row in await self._orders.aggregate(steps):
            found["fen"] = int(row["fen"])
        return found | await self._withdrawals.totals()

    async def _unbalanced(self, session: Session, since: datetime | None) -> list[LedgerProblem]:
        """Entries whose lines do not sum to zero per unit."""
        of_unit = {"entry": "$_id", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$match": {**_newer("at", since), **maybe_unbalanced()}},
            {"$limit": MAX_PROBLEMS},
            {"$unwind": "$lines"},
            {"$group": {"_id": of_unit, "sum": {"$sum": "$lines.amount"}}},
            {"$match": {"sum": {"$ne": 0}}},
            {"$limit": MAX_PROBLEMS},
        ]
        return [
            LedgerProblem("unbalanced", row["_id"]["entry"], f"{row['_id']['unit']}: {row['sum']}")
            async for row in stream(self._ledger, steps, session)
        ]

    async def _all_balances(self) -> list[LedgerProblem]:
        with self._database.slow_operation_timeout():
            async with self._snapshot() as session:
                steps = suspicious_accounts(MAX_PROBLEMS)
                names = [row["_id"] async for row in stream(self._ledger, steps, session)]
        return await self._compare({*names}, sorted({_user_of(name) for name in names}))

    async def _changed_balances(self, since: datetime) -> list[LedgerProblem]:
        problems: list[LedgerProblem] = []
        async with aclosing(self._moved_users(since)) as moved_users:
            async for user_ids in moved_users:
                problems += await self._compare(set(), user_ids)
                if len(problems) >= MAX_PROBLEMS:
                    break
        return problems[:MAX_PROBLEMS]

    async def _compare(self, accounts: set[str], user_ids: list[str]) -> list[LedgerProblem]:
        """Compare the stored balances of users with all lines of their and these accounts."""
        accounts |= {of(user_id) for user_id in user_ids for of in (user_account, debt_account)}
        lines = {"lines.account": {"$in": sorted(accounts)}}
        of_account = {"account": "$lines.account", "unit": "$lines.unit"}
        steps: list[Document] = [
            {"$match": lines},
            {"$unwind": "$lines"},
            {"$match": lines},
            {"$group": {"_id": of_account, "sum": {"$sum": "$lines.amount"}}},
        ]
        users: list[Document] = [
            {"$match": {"_id": {"$in": user_ids}}},
            {"$project": dict.fromkeys(USER_SUMS, 1)},
        ]
        with self._database.slow_operation_timeout():
            async with self._snapshot() as session:
                sums: dict[tuple[str, Unit], int] = {
                    (row["_id"]["account"], row["_id"]["unit"]): row["sum"]
                    async for row in stream(self._ledger, steps, session)
                }
                balances = [
                    StoredBalance(
                        row["_id"],
                        Balance(row["gold"], row["income"]),
                        row["owed"],
                        row["owed_income"],
                    )
                    async for row in stream(self._users, users, session)
                ]
        return find_balance_problems(sums, balances)[:MAX_PROBLEMS]

    async def _moved_users(self, since: datetime) -> AsyncGenerator[list[str]]:
        """user_ids whose balance or debt was changed since then, USERS_PER_QUERY at a time."""
        steps: list[Document] = [
            {"$match": _newer("at", since)},
            {"$unwind": "$lines"},
            {"$match": OF_USERS},
            {"$group": {"_id": USER_OF_LINE}},
        ]
        with self._database.slow_operation_timeout():
            found = await self._ledger.aggregate(
                steps, allowDiskUse=True, batchSize=USERS_PER_QUERY
            )
        async with found:
            while user_ids := [row["_id"] for row in await found.to_list(USERS_PER_QUERY)]:
                yield user_ids

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
        rows = stream(self._orders, steps, session)
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
        rows = stream(self._ledger, steps, session)
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
            rows = stream(self._ledger, steps, session)
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
        rows = stream(self._ledger, steps, session)
        return [{**row["_id"], "seq": {"$gte": row["first"]}} async for row in rows]

    async def _events(self, since: datetime | None) -> list[LedgerProblem]:
        """Gift entries without an event in their room's log, and gift events without an entry.

        Only the events that the log of the current live session still holds are compared.
        """
        where: Document = {"_id": {"$gt": 0}}
        if since:
            gifts = {"seq": {"$gt": 0}, **_newer("at", since)}
            with self._database.slow_operation_timeout():
                where["_id"]["$in"] = await self._ledger.distinct("live_id", gifts)
        problems: list[LedgerProblem] = []
        rooms: list[Document] = []
        while len(problems) < MAX_PROBLEMS:
            with self._database.slow_operation_timeout():
                async with self._snapshot() as session:
                    steps = [{"$match": where}, *GIFTS_OF_ROOMS]
                    rooms = [row async for row in stream(self._rooms, steps, session)]
                    for room in rooms:
                        problems += await self._event_problems(room, session)
            if len(rooms) < ROOMS_PER_QUERY:
                break
            where["_id"]["$gt"] = rooms[-1]["_id"]
        return problems[:MAX_PROBLEMS]

    async def _event_problems(self, room: Document, session: Session) -> list[LedgerProblem]:
        logged = {*room["gifts"]}
        after = room["version"] - min(room["version"], LOG_SIZE)
        where = {"live_id": room["_id"], "epoch": room["epoch"], "seq": {"$gt": after}}
        rows = self._ledger.find(where, {"seq": 1}, session=session)
        entries = {row["seq"]: row["_id"] async for row in rows}
        missing = sorted(entries[seq] for seq in entries.keys() - logged)
        unbooked = sorted(logged - entries.keys())
        return [
            *(LedgerProblem("missing_event", entry) for entry in missing),
            *(LedgerProblem("unbooked_event", f"{room['_id']}/{seq}") for seq in unbooked),
        ]

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
            if len(problems) >= MAX_PROBLEMS:
                break
        return sorted(problems, key=lambda problem: problem.what)[:MAX_PROBLEMS]


def _newer(field: str, since: datetime | None) -> Document:
    return {field: {"$gte": since}} if since else {}


def _user_of(account: str) -> str:
    return account.partition(":")[2]


def _lookup(collection: str, local: str) -> Document:
    return {"from": collection, "localField": local, "foreignField": "_id", "as": "found"}
