"""Compares the journal with balances, orders, withdrawals, room events and rankings."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ledger.journal import DEBTS, HOUSE, Unit, debt_account, held_account, user_account
from ledger.recharge import recharge_key
from ledger.withdrawals import OPEN_STATES, WECHAT, WithdrawalState
from rooms.events import LOG_SIZE
from storage.database import Collection, Database, Document, Session
from storage.documents import stream, sums_of
from storage.gold.rankings import OWNER_OF_LINE, RankingStore

MAX_PROBLEMS = 100
"""Maximum problems reported per comparison; with more, the exact number does not matter."""
OWNERS_PER_QUERY = 500
"""Users and withdrawals whose accounts are compared in one query."""
ROOMS_PER_QUERY = 200
"""Rooms whose events are compared on one snapshot, which MongoDB keeps for 300 s."""
UNITS: tuple[Unit, ...] = ("gold", "income")
USER_SUMS = (*UNITS, *DEBTS.values())
"""Amounts of a user that are sums of postings."""
OPEN_WITHDRAWALS: Document = {"state": {"$in": [state.value for state in OPEN_STATES]}}
GIFT_ROWS = {
    "$filter": {"input": {"$objectToArray": "$log"}, "cond": {"$eq": ["$$this.v.type", "gift"]}}
}
GIFTS_OF_ROOM: Document = {
    "epoch": 1,
    "version": 1,
    "gifts": {"$map": {"input": GIFT_ROWS, "in": "$$this.v.seq"}},
}
"""Projection of a room: the numbers of the gift events in its log, a hundredth of its size."""


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """A discrepancy; `what` names the entry, account, document, room event or ranking."""

    kind: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}" + (f" ({self.detail})" if self.detail else "")


class PaidDocuments(NamedTuple):
    """Documents that have one entry of the same money once they are paid."""

    collection: str
    time: str
    """Field with the time of the payment."""
    entries: Document
    """Filter for their entries."""
    key: str
    """Start of the key of an entry; the `_id` of the document follows."""
    unbooked: str
    """Kind of a paid document without an entry."""
    unpaid: str
    """Kind of an entry without a paid document."""


ORDERS = PaidDocuments(
    "orders", "paid_at", {"kind": "recharge"}, recharge_key(""), "unbooked_order", "unpaid_entry"
)
PAYOUTS: Document = {"by": WECHAT, "kind": "payout"}
WITHDRAWALS = PaidDocuments("withdrawals", "finished_at", PAYOUTS, "payout:", "payout", "payout")


class LedgerReconciler:
    """Reads from snapshots, which do not block concurrent gifts.

    MongoDB compares, which can sort and group more than fits into its memory, and sends only what
    differs: neither memory nor pauses of the event loop grow with the ledger.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._rankings = RankingStore(database)

    async def problems(self, since: datetime | None = None) -> list[LedgerProblem]:
        """Return differences between the ledger and other collections; empty if all is consistent.

        With `since`, only data related to entries written from then on is checked: all postings of
        the users and withdrawals that they concern, and their live sessions and days.
        """
        return [
            *await self._unbalanced(since),
            *await self._account_problems(since),
            *await self._unpaired(ORDERS, since),
            *await self._unpaired(WITHDRAWALS, since),
            *await self._events(since),
            *await self._ranking_problems(since),
        ]

    async def totals(self) -> dict[str, int]:
        """Return sums over all users, orders and withdrawals.

        {"gold", "income", "owed", "owed_income"}, "fen" paid less refunds, the income "held" for
        withdrawals, and the "withdrawn_fen" paid by them. An order of a confirmed refund case
        counts as refunded, also if an operator has settled it.
        """
        charged = {"$ifNull": ["$paid_fen", "$fen"]}
        net = {"$subtract": [charged, {"$ifNull": ["$refunded", 0]}]}
        sold = {"state": "paid", "sandbox": {"$ne": True}}
        withdrawn = {"state": WithdrawalState.PAID.value}
        rows = self._database.collection
        with self._database.slow_operation_timeout():
            return {
                **await sums_of(rows("users"), {}, {name: f"${name}" for name in USER_SUMS}),
                **await sums_of(rows("orders"), sold, {"fen": net}),
                **await sums_of(rows("withdrawals"), OPEN_WITHDRAWALS, {"held": "$income"}),
                **await sums_of(rows("withdrawals"), withdrawn, {"withdrawn_fen": "$fen"}),
            }

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Session]:
        """Open a session for the reads of one comparison; none is open for longer than that."""
        with self._database.slow_operation_timeout():
            async with self._database.client.start_session(snapshot=True) as session:
                yield session

    async def _unbalanced(self, since: datetime | None) -> list[LedgerProblem]:
        """Return entries whose postings do not sum to zero per unit, or have an unknown unit."""
        sums = [
            {"$sum": {"$map": {"input": "$lines", "in": _amount_of("$$this", unit)}}}
            for unit in UNITS
        ]
        unknown = {"$setDifference": ["$lines.unit", UNITS]}
        wrong = {"$or": [*({"$ne": [total, 0]} for total in sums), {"$ne": [unknown, []]}]}
        steps: list[Document] = [
            {"$match": {**_newer("at", since), "$expr": wrong}},
            {"$limit": MAX_PROBLEMS},
            {"$project": {"sums": sums}},
        ]
        async with self._snapshot() as session:
            return [
                LedgerProblem("unbalanced", row["_id"], f"sums {row['sums']}")
                async for row in stream(self._ledger, steps, session)
            ]

    # ---- orders and withdrawals

    async def _unpaired(self, paid: PaidDocuments, since: datetime | None) -> list[LedgerProblem]:
        """Return paid documents without an entry of the same money, and entries without one."""
        no_entry: list[Document] = [
            {"$match": {"state": "paid", **_newer(paid.time, since)}},
            *_look_up("ledger", {"$concat": [paid.key, "$_id"]}),
            {"$match": {"$expr": {"$ne": ["$found.content.fen", ["$fen"]]}}},
            {"$limit": MAX_PROBLEMS},
        ]
        no_document: list[Document] = [
            {"$match": {**paid.entries, **_newer("at", since)}},
            *_look_up(paid.collection, {"$substrCP": ["$_id", len(paid.key), 64]}),
            {"$match": {"found.state": {"$ne": "paid"}}},
            {"$limit": MAX_PROBLEMS},
        ]
        documents = self._database.collection(paid.collection)
        async with self._snapshot() as session:
            unbooked = [
                LedgerProblem(paid.unbooked, row["_id"], _recorded(row))
                async for row in stream(documents, no_entry, session)
            ]
            rows = stream(self._ledger, no_document, session)
            return unbooked + [LedgerProblem(paid.unpaid, row["_id"]) async for row in rows]

    # ---- accounts

    async def _account_problems(self, since: datetime | None) -> list[LedgerProblem]:
        problems: list[LedgerProblem] = []
        async with aclosing(self._owners(since)) as chunks:
            async for owners in chunks:
                async with self._snapshot() as session:
                    async for row in stream(self._ledger, _different_accounts(owners), session):
                        problems += _problems_of_account(row)
                if len(problems) >= MAX_PROBLEMS:
                    break
        return sorted(problems, key=str)[:MAX_PROBLEMS]

    async def _owners(self, since: datetime | None) -> AsyncGenerator[list[str] | None]:
        """Yield owners of postings since then, OWNERS_PER_QUERY at a time; None for all."""
        if since is None:
            yield None
            return
        steps: list[Document] = [
            {"$match": _newer("at", since)},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": {"$ne": HOUSE}}},
            {"$group": {"_id": OWNER_OF_LINE}},
        ]
        with self._database.slow_operation_timeout():
            found = await self._ledger.aggregate(
                steps, allowDiskUse=True, batchSize=OWNERS_PER_QUERY
            )
        async with found:
            while owners := [row["_id"] for row in await found.to_list(OWNERS_PER_QUERY)]:
                yield owners

    # ---- room events

    async def _events(self, since: datetime | None) -> list[LedgerProblem]:
        """Return gift entries without an event in the room's log, and gift events without an entry.

        Only the events that the log of the current live session still holds are compared. An index
        excludes two entries of one event.
        """
        where: Document = {"_id": {"$gt": 0}}
        if since:
            gifts = {"seq": {"$gt": 0}, **_newer("at", since)}
            with self._database.slow_operation_timeout():
                where["_id"]["$in"] = await self._ledger.distinct("live_id", gifts)
        collection = self._database.collection("rooms")
        problems: list[LedgerProblem] = []
        while len(problems) < MAX_PROBLEMS:
            async with self._snapshot() as session:
                some = collection.find(where, GIFTS_OF_ROOM, session=session)
                rooms = await some.sort("_id", 1).limit(ROOMS_PER_QUERY).to_list()
                for room in rooms:
                    after = room["version"] - min(room["version"], LOG_SIZE)
                    live = {"live_id": room["_id"], "epoch": room["epoch"], "seq": {"$gt": after}}
                    found = self._ledger.find(live, {"seq": 1}, session=session)
                    entries = {row["seq"]: row["_id"] async for row in found}
                    missing = sorted(entries[seq] for seq in entries.keys() - {*room["gifts"]})
                    problems += [LedgerProblem("missing_event", entry) for entry in missing]
                    problems += [
                        LedgerProblem("unbooked_event", f"{room['_id']}/{seq}")
                        for seq in sorted({*room["gifts"]} - entries.keys())
                    ]
            if len(rooms) < ROOMS_PER_QUERY:
                break
            where["_id"]["$gt"] = rooms[-1]["_id"]
        return problems[:MAX_PROBLEMS]

    # ---- rankings

    async def _ranking_problems(self, since: datetime | None) -> list[LedgerProblem]:
        """Return rankings that differ from the sums of their gifts."""
        problems: list[LedgerProblem] = []
        async with self._snapshot() as session:
            scopes = await self._rankings.scopes(since, session)
        for scope in sorted(scopes):
            async with self._snapshot() as session:
                found = await self._rankings.differences(scope, session)
            problems += [
                LedgerProblem("rank", f"{scope}:{user_id}", text) for user_id, text in found
            ]
            if len(problems) >= MAX_PROBLEMS:
                break
        return problems[:MAX_PROBLEMS]


def _different_accounts(owners: Sequence[str] | None) -> list[Document]:
    """Return steps on `ledger` that find the accounts whose postings differ from what is stored.

    They find negative accounts, too. They take one pass over the postings, users and open
    withdrawals of these owners, or of all.
    """
    lines: Document = {"lines.account": {"$ne": HOUSE}}
    stored: Document = {}
    first: list[Document] = []
    if owners is not None:
        kinds = (user_account, debt_account, held_account)
        accounts = sorted(account(owner) for owner in owners for account in kinds)
        lines, stored = {"lines.account": {"$in": accounts}}, {"_id": {"$in": [*owners]}}
        first = [{"$match": lines}]
    debts = {unit: {"$ifNull": [f"${DEBTS[unit]}", 0]} for unit in UNITS}
    owing = {"$or": [{name: {"$nin": [0, None]}} for name in DEBTS.values()]}
    balance = {
        **_account(user_account("")),
        **{f"stored_{unit}": f"${unit}" for unit in UNITS},
        "is_stored": {"$literal": True},
        "lowest": {"$min": [*(f"${unit}" for unit in UNITS), *debts.values()]},
    }
    owed = {f"stored_{unit}": {"$multiply": [debts[unit], -1]} for unit in UNITS}
    held = {**_account(held_account("")), "stored_income": "$income"}
    sums = (*UNITS, *(f"stored_{unit}" for unit in UNITS))
    differs = [{"$ne": [f"${unit}", f"$stored_{unit}"]} for unit in UNITS]
    return [
        *first,
        {"$unwind": "$lines"},
        {"$match": lines},
        {
            "$project": {
                "_id": "$lines.account",
                **{unit: _amount_of("$lines", unit) for unit in UNITS},
            }
        },
        _union("users", stored, balance),
        _union("users", {**stored, **owing}, {**_account(debt_account("")), **owed}),
        _union("withdrawals", {**stored, **OPEN_WITHDRAWALS}, held),
        {
            "$group": {
                "_id": "$_id",
                **{name: {"$sum": f"${name}"} for name in sums},
                "is_stored": {"$max": "$is_stored"},
                "lowest": {"$min": "$lowest"},
            }
        },
        {"$match": {"$or": [{"$expr": {"$or": differs}}, {"lowest": {"$lt": 0}}]}},
        {"$limit": MAX_PROBLEMS},
    ]


def _problems_of_account(row: Document) -> list[LedgerProblem]:
    account, kind = row["_id"], "balance"
    if account.startswith(held_account("")):
        kind = "held"
    elif not (row["is_stored"] or account.startswith(debt_account(""))):
        kind = "unknown_account"
    problems = [
        LedgerProblem(kind, account, f"{unit}: stored {row[f'stored_{unit}']}, journal {row[unit]}")
        for unit in UNITS
        if row[unit] != row[f"stored_{unit}"]
    ]
    if (row["lowest"] or 0) < 0:
        problems.append(LedgerProblem("negative", account))
    return problems


def _newer(field: str, since: datetime | None) -> Document:
    return {field: {"$gte": since}} if since else {}


def _amount_of(line: str, unit: str) -> Document:
    return {"$cond": [{"$eq": [f"{line}.unit", unit]}, f"{line}.amount", 0]}


def _account(prefix: str) -> Document:
    return {"_id": {"$concat": [prefix, "$_id"]}}


def _union(collection: str, where: Document, fields: Document) -> Document:
    steps = [{"$match": where}, {"$project": fields}]
    return {"$unionWith": {"coll": collection, "pipeline": steps}}


def _look_up(collection: str, key: Document) -> list[Document]:
    """Join the document with this `_id` as an array `found`."""
    joined = {"from": collection, "localField": "key", "foreignField": "_id", "as": "found"}
    return [{"$set": {"key": key}}, {"$lookup": joined}]


def _recorded(row: dict[str, Any]) -> str:
    recorded = [entry["content"].get("fen") for entry in row["found"]]
    return f"paid {row.get('fen')} fen, journal {recorded[0]}" if recorded else "no entry"
