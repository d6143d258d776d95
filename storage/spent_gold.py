"""What became of a user's gold: gifts in `ledger`, and where their hosts' income is."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime

from ledger.journal import reversal_key, user_account
from ledger.refund_plan import GiftStep, HostIncome
from storage.database import Collection, Database, Document, Session

GIFTS_PER_QUERY = 200
MAX_READ = 20_000
"""Gifts read for one plan: bounds its transaction, whatever gifts without gold there are."""
FINAL = ("paid", "returned")
"""States of a withdrawal whose income is no longer held."""


class SpentGoldStore:
    """Reads `ledger`, `users` and `withdrawals` in the caller's transaction; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._withdrawals: Collection = database.collection("withdrawals")

    async def gifts(
        self, session: Session, user_id: str, since: datetime
    ) -> AsyncGenerator[GiftStep]:
        """Gifts that the user gave since then, newest first, without reversed ones.

        Only those among the newest MAX_READ.
        """
        given = {"by": user_id, "kind": "gift", "at": {"$gte": since}}
        fields = {"by": 1, "at": 1, "lines": 1, "content": 1}
        rows = self._ledger.find(given, fields, session=session, batch_size=GIFTS_PER_QUERY)
        async with rows.sort("at", -1).limit(MAX_READ) as found:
            while some := await found.to_list(GIFTS_PER_QUERY):
                undone = await self._reversed([row["_id"] for row in some], session)
                for row in some:
                    if row["_id"] not in undone:
                        yield _gift_from(row)

    async def incomes(self, session: Session, hosts: Sequence[str]) -> dict[str, HostIncome]:
        """Where the income of these users is."""
        of_hosts = {"_id": {"$in": [*hosts]}}
        rows = await self._users.find(of_hosts, {"income": 1}, session=session).to_list()
        steps: list[Document] = [
            {"$match": {"user_id": {"$in": [*hosts]}}},
            {
                "$group": {
                    "_id": {"user": "$user_id", "state": "$state"},
                    "income": {"$sum": "$income"},
                }
            },
        ]
        withdrawn: defaultdict[str, dict[str, int]] = defaultdict(dict)
        async for it in await self._withdrawals.aggregate(steps, session=session):
            withdrawn[it["_id"]["user"]][it["_id"]["state"]] = it["income"]
        incomes = {row["_id"]: _income_from(row, withdrawn[row["_id"]]) for row in rows}
        await asyncio.sleep(0)  # the plan of 2,000 hosts takes as long
        return incomes

    async def _reversed(self, keys: Sequence[str], session: Session) -> set[str]:
        """Which of these gifts were reversed."""
        reversals = {reversal_key(key): key for key in keys}
        where = {"_id": {"$in": [*reversals]}}
        rows = await self._ledger.find(where, {"_id": 1}, session=session).to_list()
        return {reversals[row["_id"]] for row in rows}


def _gift_from(row: Document) -> GiftStep:
    giver, host = user_account(row["by"]), user_account(row["content"]["to"])
    gold = -sum(
        it["amount"] for it in row["lines"] if (it["account"], it["unit"]) == (giver, "gold")
    )
    income = sum(it["amount"] for it in row["lines"] if it["account"] == host and it["amount"] > 0)
    return GiftStep(row["_id"], row["at"], row["content"]["to"], gold, income)


def _income_from(row: Document, withdrawn: Mapping[str, int]) -> HostIncome:
    """`withdrawn`: the income of the user's withdrawals, by their state."""
    held = sum(income for state, income in withdrawn.items() if state not in FINAL)
    return HostIncome(row["income"], held, withdrawn.get("paid", 0))
