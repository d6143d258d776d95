"""withdrawals: one document per withdrawal; `_id` is the number of its transfer at WeChat Pay."""

import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pymongo import ReturnDocument

from core.clock import day_of
from core.errors import WriteConflict
from ledger.errors import OverLimit
from ledger.open_transfers import next_check_at
from ledger.withdrawal_requests import UserDay
from ledger.withdrawals import OPEN_STATES, Withdrawal, WithdrawalState
from storage.database import Collection, Database, Document, Session
from storage.documents import document_of, known_fields, page
from storage.due import BEFORE_ANY, claim_due, make_due_index


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
        """Replace the stored one if nobody saved since it was read, else raise WriteConflict.

        It is due when `next_check_at` says so.
        """
        changed = _document_of(withdrawal) | {"version": withdrawal.version + 1}
        where = {"_id": changed.pop("_id"), "version": withdrawal.version}
        result = await self._withdrawals.update_one(where, {"$set": changed}, session=session)
        if not result.matched_count:
            raise WriteConflict

    # ---- limits of a day, in China

    async def user_day(self, session: Session, user_id: str, since: datetime) -> UserDay:
        """What the user has requested since then."""
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
        """End the lease; the withdrawal is due again when `next_check_at` says so.

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
