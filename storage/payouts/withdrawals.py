"""withdrawals: one document per withdrawal; `_id` is the number of its transfer at WeChat Pay.

users, ledger: what of a user's income can be withdrawn, and the payee's name.
"""

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from core.clock import day_of
from ledger.errors import WithdrawalNotFound, WithdrawalsStopped
from ledger.journal import debt_account, user_account
from ledger.open_transfers import next_check_at
from ledger.withdrawal_requests import Maturity, UserDay
from ledger.withdrawals import OPEN_STATES, Withdrawal, WithdrawalState
from people.user_events import WithdrawalMoved
from rooms.events import NewEvent
from storage.database import Collection, Database, Document, Session
from storage.documents import change_one, make_partial_index, sums_of
from storage.errors import UserNotFound
from storage.field_cipher import FieldCipher
from storage.jobs.due import BEFORE_ANY, OpenCounts, open_counts
from storage.user_channels import UserChannelStore
from storage.versioned import ClaimedStore
from storage.webhooks.payloads import WithdrawalPaidPayload
from storage.webhooks.webhooks import WebhookStore


class WithdrawalStore(ClaimedStore[Withdrawal]):
    """Withdrawals, and the house's sums of a day.

    The journal entry of a new withdrawal has to be written before it is added.
    """

    name, kind, newest_by = "withdrawals", Withdrawal, "requested_at"
    missing = WithdrawalNotFound

    def __init__(
        self, database: Database, channels: UserChannelStore, webhooks: WebhookStore
    ) -> None:
        super().__init__(database, channels, webhooks)
        self._days: Collection = database.collection("withdrawal_days")

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await self._documents.create_index([("user_id", 1), ("request_id", 1)], unique=True)
        await make_partial_index(self._documents, "wechat_number", "")
        await make_partial_index(self._documents, "finished_at", BEFORE_ANY)
        await self._days.create_index("_id")  # creates the collection: no transaction has to

    # ---- limits of a day, in China

    async def user_day(self, session: Session, user_id: str, since: datetime) -> UserDay:
        """Return number and sum of the user's requests since then."""
        where = {"user_id": user_id, "requested_at": {"$gte": since}}
        rows = await self._documents.find(where, session=session).to_list()
        return UserDay(len(rows), sum(self.parse(row).counted_fen for row in rows))

    async def add_to_day(self, session: Session, at: datetime, fen: int) -> int:
        """Add to the sum of the whole house in the day of `at`, and return the sum."""
        day, change = {"_id": day_of(at).isoformat()}, {"$inc": {"fen": fen}}
        row = await change_one(self._days, day, change, session, upsert=True)
        return int(row["fen"]) if row else 0

    # ---- lists

    async def open_of(self, user_id: str) -> list[Withdrawal]:
        """Return the user's withdrawals that are not final, oldest first."""
        where = {"user_id": user_id, "state": {"$in": [*OPEN_STATES]}}
        rows = await self._documents.find(where).sort("requested_at", 1).to_list()
        return [self.parse(row) for row in rows]

    async def page_of_user(
        self, user_id: str, number: int, size: int
    ) -> tuple[list[Withdrawal], bool]:
        """Return page `number` (from 1) of a user's withdrawals, and whether more follow.

        The newest come first.
        """
        found = self._documents.find({"user_id": user_id})
        found = found.sort([("requested_at", -1), ("_id", -1)]).skip((number - 1) * size)
        rows = await found.limit(size + 1).to_list()
        return [self.parse(row) for row in rows[:size]], len(rows) > size

    async def open_counts(self) -> OpenCounts:
        """Return counts for the metrics; `oldest`: since when a withdrawal is in its state."""
        since = {"$ifNull": ["$state_since", "$requested_at"]}
        return await open_counts(self._documents, OPEN_STATES, since, [], "problem")

    @classmethod
    def parse(cls, row: Document) -> Withdrawal:
        withdrawal = super().parse(row)
        return replace(
            withdrawal,
            rate=Decimal(row["rate"]),
            approvals=tuple(withdrawal.approvals),
            state=WithdrawalState(withdrawal.state),
        )

    def _document(self, value: Withdrawal) -> Document:
        return super()._document(value) | {"rate": str(value.rate)}

    def _user_events(self, before: Withdrawal, after: Withdrawal) -> list[NewEvent]:
        if after.state == before.state:
            return []
        moved = WithdrawalMoved(withdrawal_id=after.id, state=after.state.value)
        return [NewEvent("withdrawal", moved)]

    def _webhook_events(self, before: Withdrawal | None, after: Withdrawal) -> list[NewEvent]:
        if before is None or before.state == after.state or after.state != WithdrawalState.PAID:
            return []
        paid = WithdrawalPaidPayload(
            withdrawal_id=after.id, user_id=after.user_id, income=after.income, fen=after.fen
        )
        return [NewEvent("withdrawal.paid", paid)]

    def _due_at(self, value: Withdrawal) -> datetime | None:
        return next_check_at(value, datetime.now(UTC))


class PayeeStore:
    """Income of users who withdraw, which is only read here; what stops them, and real names."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._database = database
        self._cipher = cipher
        self._users: Collection = database.collection("users")
        self._ledger: Collection = database.collection("ledger")

    async def funds(self, user_id: str, session: Session | None = None) -> tuple[int, int]:
        """Return income and owed income of a user.

        Raises UserNotFound, or WithdrawalsStopped while a refund case stops withdrawals.
        """
        fields = {"income": 1, "owed_income": 1, "withdrawals_stopped": 1}
        row = await self._users.find_one({"_id": user_id}, fields, session=session)
        if row is None:
            raise UserNotFound
        if row.get("withdrawals_stopped"):
            raise WithdrawalsStopped
        return row["income"], row["owed_income"]

    async def recent_income(
        self,
        user_id: str,
        maturity: Maturity,
        *,
        read_from: datetime | None = None,
        read_until: datetime | None = None,
        session: Session | None = None,
    ) -> int:
        """Return income from gifts that have not matured, without gifts that were reversed.

        Only entries from `read_from` (inclusive, by default all) to `read_until` (exclusive) are
        read, so that the long part can be summed before a transaction, and the rest in it. The sums
        of the parts add up.
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
        """Return income that the gifts among these entries brought, if it has not matured."""
        if not keys:
            return 0
        where = {"_id": {"$in": keys}, "kind": "gift", "$or": _recent(maturity, {})}
        credits_ = {"income": _credit_of(account)}
        return (await sums_of(self._ledger, where, credits_, session))["income"]

    # ---- stopped by refund cases

    async def stop(self, session: Session, user_id: str, case_id: str) -> None:
        """Refuse new withdrawals of the user until every case has resumed them. Idempotent."""
        await self._users.update_one(
            {"_id": user_id}, {"$addToSet": {"withdrawals_stopped": case_id}}, session=session
        )

    async def resume(self, user_id: str, case_id: str) -> None:
        """Note that the case no longer stops withdrawals of the user. Idempotent."""
        await self._users.update_one({"_id": user_id}, {"$pull": {"withdrawals_stopped": case_id}})

    # ---- real name

    async def store_real_name(self, user_id: str, name: str, session: Session) -> None:
        change = {"$set": {"real_name": self._cipher.encrypt(name, user_id)}}
        await self._users.update_one({"_id": user_id}, change, session=session)

    async def real_name(self, user_id: str) -> str:
        """Return the real name; "" if none is known, or `auth.encryption_key` has changed."""
        row = await self._users.find_one({"_id": user_id}, {"real_name": 1})
        return self._cipher.decrypt((row or {}).get("real_name", b""), user_id) or ""


def _recent(maturity: Maturity, part: Document) -> list[Document]:
    """Return conditions of which each entry that has not matured fulfils one.

    `part` is an interval of times; it begins or ends after `maturity.since`, if at all.
    """
    since, ios_since = maturity
    return [
        {"at": {"$gte": since, **part}},
        {"ios": True, "at": {"$gte": ios_since, **part, "$lt": since}},
    ]


def _credit_of(account: str) -> Document:
    """Return the income that an entry credits to the account."""
    is_credit = {
        "$and": [
            {"$eq": ["$$this.account", account]},
            {"$eq": ["$$this.unit", "income"]},
            {"$gt": ["$$this.amount", 0]},
        ]
    }
    amounts = {"$map": {"input": "$lines", "in": {"$cond": [is_credit, "$$this.amount", 0]}}}
    return {"$sum": amounts}
