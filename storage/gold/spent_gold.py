"""Reads how a user's gold was spent, from `ledger`, `users` and `withdrawals`."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from ledger.journal import reversal_key, user_account
from ledger.refund_advice import GoldGift
from ledger.refund_plan import GiftStep, HostIncome
from ledger.withdrawals import OPEN_STATES
from storage.database import Collection, Database, Document, Session

G = TypeVar("G")
GIFTS_PER_QUERY = 200
MAX_READ = 20_000
"""Maximum number of gifts read for one plan. It bounds the plan's transaction, also if the user
gave many gifts that cost nothing."""
MAX_EVIDENCE = 2_000
"""Maximum number of gifts read as evidence about one recharge, from the first one after it. It
bounds the time of an answer. If there are more gifts, the answer's sum is a lower bound."""


class SpentGoldStore:
    """Finds the gifts that a user gave, and the income that their hosts have left of them.

    It reads `ledger`, `users` and `withdrawals`, and writes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._withdrawals: Collection = database.collection("withdrawals")

    def gifts(self, session: Session, user_id: str, since: datetime) -> AsyncGenerator[GiftStep]:
        """Return the gifts that the user gave since then, newest first, without reversed ones.

        It reads the newest MAX_READ gifts and leaves out older ones.
        """
        newest = [("at", -1)]
        return self._gifts(user_id, since, newest, MAX_READ, _gift_from, session)

    async def gold_gifts(self, user_id: str, since: datetime) -> list[GoldGift]:
        """Return the gifts that the user paid with gold since then, oldest first.

        Reversed ones are left out. It reads the first MAX_EVIDENCE gifts and leaves out later ones.
        """
        found = self._gifts(user_id, since, [("at", 1)], MAX_EVIDENCE, _gold_gift_from)
        return [gift async for gift in found if gift.gold]

    async def _gifts(
        self,
        user_id: str,
        since: datetime,
        order: list[tuple[str, int]],
        limit: int,
        parse: Callable[[Document], G],
        session: Session | None = None,
    ) -> AsyncGenerator[G]:
        given = {"by": user_id, "kind": "gift", "at": {"$gte": since}}
        rows = self._ledger.find(given, session=session, batch_size=GIFTS_PER_QUERY)
        async with rows.sort(order).limit(limit) as found:
            while some := await found.to_list(GIFTS_PER_QUERY):
                undone = await self._reversed([row["_id"] for row in some], session)
                for row in some:
                    if row["_id"] not in undone:
                        yield parse(row)

    async def incomes(self, session: Session, hosts: Sequence[str]) -> dict[str, HostIncome]:
        """Return the income of each user: what they have, what withdrawals hold, what was paid."""
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
        async for row in await self._withdrawals.aggregate(steps, session=session):
            withdrawn[row["_id"]["user"]][row["_id"]["state"]] = row["income"]
        return {row["_id"]: _income_from(row, withdrawn[row["_id"]]) for row in rows}

    async def _reversed(self, keys: Sequence[str], session: Session | None) -> set[str]:
        """Return the ids of those gifts that were reversed."""
        reversals = {reversal_key(key): key for key in keys}
        where = {"_id": {"$in": [*reversals]}}
        rows = await self._ledger.find(where, {"_id": 1}, session=session).to_list()
        return {reversals[row["_id"]] for row in rows}


def _gold_of(gift: Document) -> int:
    """Return the gold that a gift took from its giver."""
    giver = user_account(gift["by"])
    lines = (line for line in gift["lines"] if (line["account"], line["unit"]) == (giver, "gold"))
    return -sum(int(line["amount"]) for line in lines)


def _gold_gift_from(row: Document) -> GoldGift:
    return GoldGift(row["at"], _gold_of(row), row.get("live_id", 0), row.get("epoch", ""))


def _gift_from(row: Document) -> GiftStep:
    host = user_account(row["content"]["to"])
    amounts = [line["amount"] for line in row["lines"] if line["account"] == host]
    income = sum(amount for amount in amounts if amount > 0)
    return GiftStep(row["_id"], row["at"], row["content"]["to"], _gold_of(row), income)


def _income_from(row: Document, withdrawn: Mapping[str, int]) -> HostIncome:
    """Return the income of a user, whose withdrawals have the income `withdrawn` by their state."""
    held = sum(withdrawn.get(state, 0) for state in OPEN_STATES)
    return HostIncome(row["income"], held, withdrawn.get("paid", 0))
