"""Compares withdrawals with the journal: income held, and withdrawals paid."""

from datetime import datetime
from typing import Any

from ledger.checks import LedgerProblem, find_held_problems
from ledger.journal import held_account
from ledger.withdrawals import OPEN_STATES, WithdrawalState, payout_key
from storage.database import Collection, Database, Document, Session
from storage.documents import stream

MAX_PROBLEMS = 100
"""Problems reported of each kind."""
IS_OPEN: Document = {"$in": ["$state", [state.value for state in OPEN_STATES]]}
HELD: Document = {"$regex": f"^{held_account('')}"}
"""Condition on the name of an account: of an array, an index bounds a range on one side only."""


class WithdrawalReconciler:
    """The comparisons run in the database, which sends only what differs."""

    def __init__(self, database: Database) -> None:
        self._ledger: Collection = database.collection("ledger")
        self._withdrawals: Collection = database.collection("withdrawals")

    async def totals(self) -> dict[str, int]:
        """The income "held" by open withdrawals, and the "withdrawn_fen" of paid ones."""
        is_paid = {"$eq": ["$state", WithdrawalState.PAID.value]}
        sums = {
            "held": {"$sum": {"$cond": [IS_OPEN, "$income", 0]}},
            "withdrawn_fen": {"$sum": {"$cond": [is_paid, "$fen", 0]}},
        }
        async for row in stream(self._withdrawals, [{"$group": {"_id": None, **sums}}]):
            return {name: int(row[name]) for name in sums}
        return dict.fromkeys(sums, 0)

    async def held_problems(self, session: Session, since: datetime | None) -> list[LedgerProblem]:
        """Held accounts whose sum is not the income of their open withdrawal.

        With `since`, only those that entries written from then on have changed.
        """
        accounts, ids = HELD, dict[str, Any]()
        if since:
            moved = await self._moved_accounts(session, since)
            accounts = {"$in": moved}
            ids = {"_id": {"$in": [name.removeprefix(held_account("")) for name in moved]}}
        steps: list[Document] = [
            {"$match": {"lines.account": accounts}},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": accounts}},
            {"$project": {"_id": "$lines.account", "journal": "$lines.amount"}},
            {"$unionWith": {"coll": "withdrawals", "pipeline": [{"$match": ids}, _held_income()]}},
            {
                "$group": {
                    "_id": "$_id",
                    "journal": {"$sum": "$journal"},
                    "stored": {"$sum": "$stored"},
                }
            },
            {"$match": {"$expr": {"$ne": ["$journal", "$stored"]}}},
            {"$limit": MAX_PROBLEMS},
        ]
        rows = [row async for row in stream(self._ledger, steps, session)]
        journal = {row["_id"]: int(row["journal"]) for row in rows}
        return find_held_problems(journal, {row["_id"]: int(row["stored"]) for row in rows})

    async def _moved_accounts(self, session: Session, since: datetime) -> list[str]:
        steps: list[Document] = [
            {"$match": {"at": {"$gte": since}, "lines.account": HELD}},
            {"$unwind": "$lines"},
            {"$match": {"lines.account": HELD}},
            {"$group": {"_id": "$lines.account"}},
        ]
        return [row["_id"] async for row in stream(self._ledger, steps, session)]

    async def payout_problems(
        self, session: Session, since: datetime | None
    ) -> list[LedgerProblem]:
        """Paid withdrawals without their entry, entries without one, and other amounts."""
        return [
            *await self._withdrawals_without_entry(session, since),
            *await self._entries_without_withdrawal(session, since),
        ][:MAX_PROBLEMS]

    async def _withdrawals_without_entry(
        self, session: Session, since: datetime | None
    ) -> list[LedgerProblem]:
        paid: Document = {"state": WithdrawalState.PAID.value}
        if since:
            paid["finished_at"] = {"$gte": since}
        steps: list[Document] = [
            {"$match": paid},
            {"$set": {"key": {"$concat": [payout_key(""), "$_id"]}}},
            _look_up("ledger", "key"),
            {"$match": {"$expr": {"$ne": ["$found.content.fen", ["$fen"]]}}},
            {"$limit": MAX_PROBLEMS},
        ]
        return [
            LedgerProblem("payout", row["_id"], _difference(row))
            async for row in stream(self._withdrawals, steps, session)
        ]

    async def _entries_without_withdrawal(
        self, session: Session, since: datetime | None
    ) -> list[LedgerProblem]:
        where: Document = {"by": "wechat", "kind": "payout"}
        if since:
            where["at"] = {"$gte": since}
        steps: list[Document] = [
            {"$match": where},
            _look_up("withdrawals", "content.withdrawal"),
            {"$match": {"found.state": {"$ne": WithdrawalState.PAID.value}}},
            {"$limit": MAX_PROBLEMS},
        ]
        return [
            LedgerProblem("payout", row["_id"], "no paid withdrawal")
            async for row in stream(self._ledger, steps, session)
        ]


def _held_income() -> Document:
    """Project a withdrawal to its held account and the income in it."""
    account = {"$concat": [held_account(""), "$_id"]}
    return {"$project": {"_id": account, "stored": {"$cond": [IS_OPEN, "$income", 0]}}}


def _look_up(collection: str, field: str) -> Document:
    """Join the document whose `_id` is this field, as an array `found`."""
    return {
        "$lookup": {"from": collection, "localField": field, "foreignField": "_id", "as": "found"}
    }


def _difference(row: Document) -> str:
    booked = [entry["content"]["fen"] for entry in row["found"]]
    return f"paid {row['fen']} fen, journal {booked[0]}" if booked else "no entry"
