"""withdrawals: one document per withdrawal; `_id` is the number of its transfer at WeChat Pay.

users, ledger: what of a user's income can be withdrawn, and the payee's name.
"""

import secrets
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from pymongo import ReturnDocument

from core.clock import day_of
from core.errors import WriteConflict
from ledger.errors import OverLimit
from ledger.journal import debt_account, user_account
from ledger.open_transfers import next_check_at
from ledger.withdrawal_requests import Maturity, UserDay
from ledger.withdrawals import OPEN_STATES, Withdrawal, WithdrawalState
from storage.database import Collection, Database, Document, Session
from storage.documents import document_of, known_fields, page
from storage.errors import UserNotFound
from storage.field_cipher import FieldCipher
from storage.jobs.due import BEFORE_ANY, claim_due, make_due_index


class WithdrawalStore:
    """Withdrawals, changed under the guard of their version, and the house's sums of a day."""

    def __init__(self, database: Database) -> None:
        self._withdrawals: Collection = database.collection("withdrawals")
        self._days: Collection = database.collection("withdrawal_days")

    async def make_indexes(self) -> None:
        newest = [("requested_at", -1), ("_id", -1)]
        await self._withdrawals.create_index([("user_id", 1), ("request_id", 1)], unique=True)
        await self._withdrawals.create_index([("user_id", 1), *newest])
        await self._withdrawals.create_index([("state", 1), *newest])
        await self._withdrawals.create_index(newest)
        await make_due_index(self._withdrawals)
        await self._withdrawals.create_index(
            "wechat_number", partialFilterExpression={"wechat_number": {"$gt": ""}}
        )
        await self._days.create_index("_id")  # creates the collection: no transaction has to
        await self._withdrawals.create_index(
            "finished_at", partialFilterExpression={"finished_at": {"$gt": BEFORE_ANY}}
        )

    async def find(self, id_: str, session: Session | None = None) -> Withdrawal | None:
        row = await self._withdrawals.find_one({"_id": id_}, session=session)
        return withdrawal_from(row) if row else None

    async def add(self, session: Session, withdrawal: Withdrawal) -> None:
        """Insert a new withdrawal; its journal entry has to be written before."""
        await self._withdrawals.insert_one(_document_of(withdrawal), session=session)

    async def save(self, session: Session, withdrawal: Withdrawal) -> None:
        """Replace the stored withdrawal; raises WriteConflict if it was saved since it was read.

        It becomes due at its `next_check_at`.
        """
        changed = _document_of(withdrawal) | {"version": withdrawal.version + 1}
        where = {"_id": changed.pop("_id"), "version": withdrawal.version}
        result = await self._withdrawals.update_one(where, {"$set": changed}, session=session)
        if not result.matched_count:
            raise WriteConflict

    # ---- limits of a day, in China

    async def user_day(self, session: Session, user_id: str, since: datetime) -> UserDay:
        """Number and sum of the user's requests since then."""
        where = {"user_id": user_id, "requested_at": {"$gte": since}}
        rows = await self._withdrawals.find(where, session=session).to_list()
        return UserDay(len(rows), sum(withdrawal_from(row).counted_fen for row in rows))

    async def add_to_day(self, session: Session, at: datetime, fen: int, limit: int) -> None:
        """Count `fen` of the whole house in the day of `at`; raises OverLimit with "day"."""
        row = await self._days.find_one_and_update(
            {"_id": day_of(at).isoformat()},
            {"$inc": {"fen": fen}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row and row["fen"] > limit:  # the transaction is aborted
            raise OverLimit("day")

    async def subtract_from_day(self, session: Session, at: datetime, fen: int) -> None:
        """Take back what `add_to_day` has counted, for one that is returned."""
        await self._days.update_one(
            {"_id": day_of(at).isoformat()}, {"$inc": {"fen": -fen}}, session=session
        )

    # ---- open withdrawals

    async def claim(self, lease: timedelta) -> Withdrawal | None:
        """Lease the withdrawal that is due for the longest time, by the database's clock."""
        row = await claim_due(self._withdrawals, lease)
        return withdrawal_from(row) if row else None

    async def postpone(self, withdrawal: Withdrawal, now: datetime) -> None:
        """End the lease; the withdrawal becomes due again at its `next_check_at`.

        Nothing changes if it was saved since it was read: `save` has set the time.
        """
        await self._withdrawals.update_one(
            {"_id": withdrawal.id, "version": withdrawal.version},
            {"$set": {"due_at": next_check_at(withdrawal, now)}},
        )

    async def open_of(self, user_id: str) -> list[Withdrawal]:
        """The user's withdrawals that are not final, oldest first."""
        where = {"user_id": user_id, "state": {"$in": [*OPEN_STATES]}}
        rows = await self._withdrawals.find(where).sort("requested_at", 1).to_list()
        return [withdrawal_from(row) for row in rows]

    # ---- lists

    async def page_of_user(
        self, user_id: str, number: int, size: int
    ) -> tuple[list[Withdrawal], bool]:
        """Page `number` (from 1) of the user's withdrawals, newest first, and if more follow."""
        found = self._withdrawals.find({"user_id": user_id})
        found = found.sort([("requested_at", -1), ("_id", -1)]).skip((number - 1) * size)
        rows = await found.limit(size + 1).to_list()
        return [withdrawal_from(row) for row in rows[:size]], len(rows) > size

    async def page(
        self, user_id: str, state: str, after: str, limit: int
    ) -> tuple[list[Withdrawal], str | None]:
        """Withdrawals for operators, newest first, and the next cursor; raises InvalidCursor."""
        where: Document = {"user_id": user_id} if user_id else {}
        if state:
            where["state"] = state
        rows, cursor = await page(self._withdrawals, where, "requested_at", after, limit)
        return [withdrawal_from(row) for row in rows], cursor


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
        maturity: Maturity,
        *,
        read_from: datetime | None = None,
        read_until: datetime | None = None,
        session: Session | None = None,
    ) -> int:
        """Income from gifts that have not matured, without gifts that were reversed.

        Only entries from `read_from` (inclusive, by default all) to `read_until` (exclusive)
        are read, so that the long part can be summed before a transaction, and the rest in it. The
        sums of the parts add up.
        """
        part: Document = {"$gte": read_from} if read_from else {}
        if read_until:
            part["$lt"] = read_until
        account = user_account(user_id)
        accounts = [account, debt_account(user_id)]  # a reversal may take nothing but a debt
        of_user: Document = {"lines.account": {"$in": accounts}}
        of_user["kind"] = {"$in": ["gift", "reversal"]}
        where = {"$or": [{**of_user, **recent} for recent in _recent(maturity, part)]}
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
        with nullcontext() if session else self._database.slow_operation_timeout():
            cursor = await self._ledger.aggregate(steps, session=session)
            for row in await cursor.to_list():
                reversed_ = await self._credits(row["reversed"], account, maturity, session)
                return int(row["gifts"]) - reversed_
        return 0

    async def _credits(
        self, keys: list[str], account: str, maturity: Maturity, session: Session | None
    ) -> int:
        """Income that the gifts among these entries brought, if it has not matured."""
        if not keys:
            return 0
        where = {"_id": {"$in": keys}, "kind": "gift", "$or": _recent(maturity, {})}
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


def _document_of(withdrawal: Withdrawal) -> Document:
    row = document_of(withdrawal, "id")
    row["approvals"] = list(withdrawal.approvals)
    row["rate"] = str(withdrawal.rate)
    row["state"] = withdrawal.state.value
    row["due_at"] = next_check_at(withdrawal, datetime.now(UTC))
    return row


def withdrawal_from(row: Document) -> Withdrawal:
    fields = known_fields(Withdrawal, row) | {
        "id": row["_id"],
        "rate": Decimal(row["rate"]),
        "approvals": tuple(row["approvals"]),
        "state": WithdrawalState(row["state"]),
    }
    return Withdrawal(**fields)


def new_id() -> str:
    """29 of [0-9A-Za-z], as WeChat Pay requires; not guessable (56 random bits)."""
    return f"W{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(7)}"


def _recent(maturity: Maturity, part: Document) -> list[Document]:
    """Conditions of which each entry that has not matured fulfils one.

    `part` is an interval of times; it begins or ends after `maturity.since`, if at all.
    """
    since, ios_since = maturity
    return [
        {"at": {"$gte": since, **part}},
        {"ios": True, "at": {"$gte": ios_since, **part, "$lt": since}},
    ]


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
