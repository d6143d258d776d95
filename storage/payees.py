"""What of a user's income can be withdrawn, from `users` and `ledger`, and the payee's name."""

from contextlib import nullcontext
from datetime import datetime
from typing import NamedTuple

from ledger.journal import debt_account, user_account
from storage.database import Collection, Database, Document, Session
from storage.errors import UserNotFound
from storage.field_cipher import FieldCipher


class PayeeFunds(NamedTuple):
    """Income and debt of a user; `is_stopped` while a refund case stops withdrawals."""

    income: int
    owed_income: int
    is_stopped: bool


class PayeeStore:
    """Income of users who withdraw, which is only read here; what stops them, and real names."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._database = database
        self._cipher = cipher
        self._users: Collection = database.collection("users")
        self._ledger: Collection = database.collection("ledger")

    async def funds(self, user_id: str, session: Session | None = None) -> PayeeFunds:
        """Raises UserNotFound."""
        fields = {"income": 1, "owed_income": 1, "withdrawals_stopped": 1}
        row = await self._users.find_one({"_id": user_id}, fields, session=session)
        if row is None:
            raise UserNotFound
        stopped = bool(row.get("withdrawals_stopped"))
        return PayeeFunds(row["income"], row["owed_income"], stopped)

    async def recent_income(
        self,
        user_id: str,
        since: datetime,
        *,
        read_from: datetime | None = None,
        read_until: datetime | None = None,
        session: Session | None = None,
    ) -> int:
        """Income from gifts since then, without gifts that were reversed.

        Only entries from `read_from` (inclusive, by default `since`) to `read_until` (exclusive)
        are read, so that the long part can be summed before a transaction, and the rest in it. The
        sums of the parts add up.
        """
        with nullcontext() if session else self._database.slow_operation_timeout():
            return await self._recent_income(user_id, since, read_from, read_until, session)

    async def _recent_income(
        self,
        user_id: str,
        since: datetime,
        read_from: datetime | None,
        read_until: datetime | None,
        session: Session | None,
    ) -> int:
        at: Document = {"$gte": read_from or since}
        if read_until:
            at["$lt"] = read_until
        account = user_account(user_id)
        accounts = [account, debt_account(user_id)]  # a reversal may take nothing but a debt
        where: Document = {"lines.account": {"$in": accounts}, "at": at}
        where["kind"] = {"$in": ["gift", "reversal"]}
        is_gift = {"$eq": ["$kind", "gift"]}
        credit = _credit_of(account)
        steps: list[Document] = [
            {"$match": where},
            {
                "$group": {
                    "_id": None,
                    "gifts": {"$sum": {"$cond": [is_gift, credit, 0]}},
                    "reversed": {"$push": {"$cond": [is_gift, "$$REMOVE", "$content.reverses"]}},
                }
            },
        ]
        cursor = await self._ledger.aggregate(steps, session=session)
        for row in await cursor.to_list():
            reversed_ = await self._credits(row["reversed"], account, since, session)
            return int(row["gifts"]) - reversed_
        return 0

    async def _credits(
        self, keys: list[str], account: str, since: datetime, session: Session | None
    ) -> int:
        """Income that the gifts among these entries brought since then."""
        if not keys:
            return 0
        where = {"_id": {"$in": keys}, "kind": "gift", "at": {"$gte": since}}
        total = {"_id": None, "total": {"$sum": _credit_of(account)}}
        steps: list[Document] = [{"$match": where}, {"$group": total}]
        cursor = await self._ledger.aggregate(steps, session=session)
        return sum([int(row["total"]) async for row in cursor])

    # ---- stopped by refund cases

    async def stop(self, session: Session, user_id: str, case_id: str) -> None:
        """Refuse new withdrawals of the user until every case has resumed them. Idempotent."""
        await self._users.update_one(
            {"_id": user_id}, {"$addToSet": {"withdrawals_stopped": case_id}}, session=session
        )

    async def resume(self, user_id: str, case_id: str) -> None:
        """The case no longer stops withdrawals of the user. Idempotent."""
        await self._users.update_one({"_id": user_id}, {"$pull": {"withdrawals_stopped": case_id}})

    # ---- real name

    async def store_real_name(self, user_id: str, name: str, session: Session) -> None:
        """Store the user's real name, encrypted."""
        change = {"$set": {"real_name": self._cipher.encrypt(name, user_id)}}
        await self._users.update_one({"_id": user_id}, change, session=session)

    async def real_name(self, user_id: str) -> str:
        """The real name; "" if none is known, or `auth.encryption_key` has changed."""
        row = await self._users.find_one({"_id": user_id}, {"real_name": 1})
        return self._cipher.decrypt((row or {}).get("real_name", b""), user_id) or ""


def _credit_of(account: str) -> Document:
    """Income that an entry credits to the account."""
    amounts = {
        "$map": {
            "input": "$lines",
            "in": {
                "$cond": [
                    {
                        "$and": [
                            {"$eq": ["$$this.account", account]},
                            {"$eq": ["$$this.unit", "income"]},
                            {"$gt": ["$$this.amount", 0]},
                        ]
                    },
                    "$$this.amount",
                    0,
                ]
            },
        }
    }
    return {"$sum": amounts}
