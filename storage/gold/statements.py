"""What the journal has of a user: statements of gold and income, and how gold was spent."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from ledger.journal import DEBTS, Unit, debt_key, reversal_key, user_account
from ledger.recharge import recharge_key
from ledger.refund_advice import GoldGift
from ledger.refund_plan import GiftStep, HostIncome
from ledger.withdrawals import OPEN_STATES
from storage.database import Collection, Database, Document, Session
from storage.documents import given, page, starts_with
from storage.gold.ledger import USER_FIELDS, face_of

G = TypeVar("G")
MONEY_OUT: Sequence[Document] = (
    {"kind": {"$in": ["withdrawal", "payout", "return"]}},
    {"kind": "reversal", "content.fen": {"$exists": True}},
    {"kind": "reversal", "by": starts_with("R")},
)
"""Entries of withdrawals and of refunds; a refund case, whose id begins with R, reverses gifts."""
GIFTS_PER_QUERY = 200
MAX_READ = 20_000
"""Maximum number of gifts read for one plan. It bounds the plan's transaction, also if the user
gave many gifts that cost nothing."""
MAX_EVIDENCE = 2_000
"""Maximum number of gifts read as evidence about one recharge, from the first one after it. It
bounds the time of an answer. If there are more gifts, the answer's sum is a lower bound."""


class StatementStore:
    """Entries of the journal, for users and operators."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")

    async def page(self, user_id: str, unit: Unit, skip: int, limit: int) -> list[Document]:
        """Return entries, newest first, without the `skip` newest, which are added up.

        Each has its `amount`, the `balance` after it, and in `who` the other user of a gift. The
        balance and the entries are of one snapshot.
        """
        account = user_account(user_id)
        rows, balance = await self._read(user_id, unit, skip, limit)
        others = [_other_user(account, row) for row in rows]
        users = self._users.find({"_id": {"$in": [*{*others}]}}, USER_FIELDS)
        faces = {row["_id"]: face_of(row) async for row in users}
        statement = list[Document]()
        for row, other in zip(rows, others, strict=True):
            lines = (line for line in row["lines"] if line["account"] == account)
            amount = sum(int(line["amount"]) for line in lines if line["unit"] == unit)
            what = "settle" if row["_id"].startswith(debt_key("")) else row["kind"]
            fields = {"time": row["at"], "what": what, "who": faces.get(other)}
            statement.append({**fields, "amount": amount, "balance": balance})
            balance -= amount
        return statement

    async def _read(
        self, user_id: str, unit: Unit, skip: int, limit: int
    ) -> tuple[list[Document], int]:
        """Return entries, and the balance after the newest of them, of one snapshot."""
        account, newest = user_account(user_id), {"at": -1, "_id": -1}
        where: Document = {"lines": {"$elemMatch": {"account": account, "unit": unit}}}
        added_up: list[Document] = [
            *({"$match": where}, {"$sort": newest}, {"$limit": max(skip, 1)}),
            {"$unwind": "$lines"},
            {"$match": {"lines.account": account, "lines.unit": unit}},
            {"$group": {"_id": None, "sum": {"$sum": "$lines.amount"}}},
        ]

        async def work(session: Session) -> tuple[list[Document], int]:
            user = await self._users.find_one({"_id": user_id}, {unit: 1}, session=session)
            found = self._ledger.find(where, session=session).sort(newest).skip(skip).limit(limit)
            rows, balance = await found.to_list(), int(user[unit]) if user else 0
            if rows and skip:
                async for row in await self._ledger.aggregate(added_up, session=session):
                    balance -= row["sum"]
            return rows, balance

        return await self._database.transaction_with_retry(work)

    async def entries(
        self,
        user_id: str,
        kind: str,
        after: str,
        limit: int,
        *,
        search: str = "",
        money_out: bool = True,
    ) -> tuple[list[Document], str | None]:
        """Return entries for operators, newest first, and the next cursor.

        `search` matches a whole user_id, or the start of a key or of the paid order's number.
        Without `money_out`, the entries of withdrawals and refunds are left out. Raises
        InvalidCursor.
        """
        where = given(kind=kind)
        if user_id:  # the index has the entries of each unit in order
            own = {"account": user_account(user_id), "unit": {"$in": [*DEBTS]}}
            where["lines"] = {"$elemMatch": own}
        if not money_out:
            where["$nor"] = MONEY_OUT
        if search:
            keys = (search, recharge_key(search))
            where["$or"] = [
                {"lines.account": user_account(search)},
                *({"_id": starts_with(key)} for key in keys),
            ]
        return await page(self._ledger, where, "at", after, limit)


class SpentGoldStore:
    """Finds the gifts that a user gave, and the income that their hosts have left of them.

    It reads `ledger`, `users` and `withdrawals`, and writes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._withdrawals: Collection = database.collection("withdrawals")

    def gifts(self, session: Session, user_id: str, since: datetime) -> AsyncGenerator[GiftStep]:
        """Return the newest MAX_READ gifts of a user that are not reversed, newest first."""
        newest = [("at", -1)]
        return self._gifts(user_id, since, newest, MAX_READ, _gift_from, session)

    async def gold_gifts(self, user_id: str, since: datetime) -> list[GoldGift]:
        """Return the first MAX_EVIDENCE gifts that took gold and are not reversed, oldest first."""
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
        where = {"by": user_id, "kind": "gift", "at": {"$gte": since}}
        rows = self._ledger.find(where, session=session, batch_size=GIFTS_PER_QUERY)
        async with rows.sort(order).limit(limit) as found:
            while some := await found.to_list(GIFTS_PER_QUERY):
                keys = {"_id": {"$in": [reversal_key(row["_id"]) for row in some]}}
                reversals = self._ledger.find(keys, {"_id": 1}, session=session)
                undone = {row["_id"] async for row in reversals}
                for row in some:
                    if reversal_key(row["_id"]) not in undone:
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
        found = {}
        for row in rows:
            incomes = withdrawn[row["_id"]]
            held = sum(incomes.get(state, 0) for state in OPEN_STATES)
            found[row["_id"]] = HostIncome(row["income"], held, incomes.get("paid", 0))
        return found


def _other_user(account: str, row: Document) -> str:
    """Return the other user of a gift or of its reversal; "" for other entries."""
    of_users = user_account("")
    others = (line["account"] for line in row["lines"] if line["account"] != account)
    found = [other.removeprefix(of_users) for other in others if other.startswith(of_users)]
    return str([*found, row["content"].get("to", "") if row["kind"] == "gift" else ""][0])


def _gold_of(gift: Document) -> int:
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
