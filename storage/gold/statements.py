"""Statements of gold and income, read from `ledger` and `users`."""

from ledger.journal import Unit, settle_key, user_account
from storage.database import Collection, Database, Document, Session
from storage.gold.ledger import USER_FIELDS, face_of


class StatementStore:
    """Reads the entries behind a user's balance."""

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
            what = "settle" if row["_id"].startswith(settle_key("")) else row["kind"]
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


def _other_user(account: str, row: Document) -> str:
    """Return the other user of a gift or of its reversal; "" for other entries."""
    of_users = user_account("")
    others = (line["account"] for line in row["lines"] if line["account"] != account)
    found = [other.removeprefix(of_users) for other in others if other.startswith(of_users)]
    return str([*found, row["content"].get("to", "") if row["kind"] == "gift" else ""][0])
