"""orders: recharge orders; `_id` is the order number as sent to WeChat."""

from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from core.errors import WriteConflict
from core.retry import ORDERS
from ledger.recharge import (
    MAX_OPEN_ORDERS,
    OPEN_FOR,
    ClaimedOrder,
    OpenOrder,
    Order,
    Payment,
    Refund,
    offer_key,
)
from storage.database import Database, Document, Session
from storage.documents import given, make_partial_index, page, starts_with
from storage.jobs.due import BEFORE_ANY, claim_due
from storage.versioned import DocumentStore

MONEY_FIELDS = ("paid_at", "transaction", "refunded", "refused", "reported")
"""Set on orders for which the provider has reported money, credited or not."""
UNTIL_MONEY = {"open_keys": "", "expires_at": ""}
"""Fields that an order has until the provider reports money; it is then kept for ever."""
USER_ID_DIGITS = 8
"""Digits of a user_id. WeChat's transaction numbers are digits, too, and share a prefix for years:
they are searched only for longer texts."""


class OrderStore(DocumentStore[Order]):
    """An order is created, then paid or closed, each by one update that its state guards."""

    name, kind, id_name, newest_by = "orders", Order, "number", "created_at"

    def __init__(self, database: Database, unpaid_days: int = 0) -> None:
        """Keep closed orders for which no money came for `unpaid_days`, with 0 for ever."""
        super().__init__(database)
        self._unpaid_days = unpaid_days

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await make_partial_index(self._documents, "transaction", "")
        await make_partial_index(self._documents, "paid_at", BEFORE_ANY)
        await self._documents.create_index(
            [("provider", 1), ("created_at", 1), ("due_at", 1)],
            partialFilterExpression={"due_at": {"$gt": BEFORE_ANY}},
        )
        await self._documents.create_index(
            "open_keys", unique=True, partialFilterExpression={"open_keys": {"$exists": True}}
        )
        await self._documents.create_index("expires_at", expireAfterSeconds=0)

    # ---- open orders of a user

    async def open_orders(self, user_id: str) -> list[OpenOrder]:
        """Return the user's open orders; the slots of those that are too old become free."""
        slots = [f"{user_id}#{slot}" for slot in range(MAX_OPEN_ORDERS)]
        rows = await self._documents.find({"open_keys": {"$in": slots}}).to_list()
        oldest = datetime.now(UTC) - OPEN_FOR
        past = [row["_id"] for row in rows if row["created_at"] <= oldest]
        if past:
            await self._documents.update_many({"_id": {"$in": past}}, {"$unset": {"open_keys": ""}})
        return [self._open_order(row) for row in rows if row["_id"] not in past]

    async def open(self, order: Order, block_id: int, slot: int) -> OpenOrder:
        """Insert a new order. Raises WriteConflict if its slot or its offer has an open one."""
        now = datetime.now(UTC)
        row = {
            **self._document(order),
            "block_id": block_id,
            "created_at": now,
            "queries": 0,
            "due_at": now + ORDERS.after(1),
            "slot": slot,
            "open_keys": [f"{order.user_id}#{slot}", offer_key(order, block_id)],
        }
        try:
            await self._documents.insert_one(row)
        except DuplicateKeyError:
            raise WriteConflict from None
        return self._open_order(row)

    async def note(self, number: str, **fields: str) -> None:
        """Store `prepay_id`, or the `platform` that the client or Apple has named last."""
        await self._documents.update_one({"_id": number}, {"$set": fields})

    # ---- payment

    async def refunded_fen(self, number: str, session: Session | None = None) -> int:
        """Return the fen of an order that were paid back, or that a refund case has taken up."""
        row = await self._documents.find_one({"_id": number}, {"refunded": 1}, session=session)
        return int((row or {}).get("refunded", 0))

    async def pay(self, session: Session, number: str, payment: Payment) -> None:
        """Mark an order as paid, due for a confirmation of delivery to the provider. Idempotent."""
        now = datetime.now(UTC)
        paid = {"state": "paid", "transaction": payment.transaction, "paid_at": now, "due_at": now}
        await self._documents.update_one(
            {"_id": number, "state": {"$ne": "paid"}},
            {"$set": {**paid, "paid_fen": payment.paid_fen}, "$unset": UNTIL_MONEY},
            session=session,
        )

    async def refund(self, session: Session, number: str, refund: Refund) -> int:
        """Add to the refunded amount; return the fen refunded before."""
        row = await self._documents.find_one_and_update(
            {"_id": number},
            {"$inc": {"refunded": refund.fen}, "$unset": {"expires_at": ""}},
            session=session,
        )
        return int((row or {}).get("refunded", 0))

    # ---- orders to query, since no notification has arrived

    async def claim(self, provider: Document | str, lease: timedelta) -> ClaimedOrder | None:
        """Claim the oldest due order of a provider, or of those that meet a condition."""
        row = await claim_due(
            self._documents,
            lease,
            {"provider": provider},
            {"queries": {"$add": ["$queries", 1]}},
            order="created_at",
        )
        return ClaimedOrder(self.parse(row), row["created_at"]) if row else None

    async def postpone(self, number: str, at: datetime) -> None:
        """Postpone to `at`, unless the order is no longer due."""
        await self._documents.update_one(
            {"_id": number, "due_at": {"$gt": BEFORE_ANY}}, {"$set": {"due_at": at}}
        )

    async def close(self, number: str) -> None:
        """Close an order that was not paid; without money it is deleted after `unpaid_days`."""
        now = datetime.now(UTC)
        closed: Document = {"state": "closed", "closed_at": now, "due_at": None}
        if self._unpaid_days:
            money = {"$ifNull": [*(f"${field}" for field in MONEY_FIELDS), None]}
            expiry = now + timedelta(days=self._unpaid_days)
            closed["expires_at"] = {"$cond": [{"$eq": [money, None]}, expiry, "$$REMOVE"]}
        await self._documents.update_one(
            {"_id": number, "state": "created"}, [{"$set": closed}, {"$unset": "open_keys"}]
        )

    async def delivered(self, number: str) -> None:
        await self._documents.update_one({"_id": number}, {"$set": {"due_at": None}})

    async def dispute(self, number: str, reason: str = "") -> None:
        """Keep the order for operators: the provider reported money that does not match it.

        With the `reason` for which a query's payment was refused, the order is not queried again.
        """
        found = {"refused": reason, "due_at": None} if reason else {"reported": True}
        await self._documents.update_one({"_id": number}, {"$set": found, "$unset": UNTIL_MONEY})

    async def oldest_unpaid(self, provider: str, since: datetime = BEFORE_ANY) -> datetime | None:
        """Return when a provider's oldest unpaid, undisputed order from `since` on was created."""
        where: Document = {"provider": provider, "created_at": {"$gte": since}}
        # An unpaid order always has `due_at`: the index of `claim` serves this query, too.
        where |= {"state": "created", "refused": None, "due_at": {"$gt": BEFORE_ANY}}
        row = await self._documents.find_one(where, sort=[("created_at", 1)])
        return row["created_at"] if row else None

    async def rows(
        self, user_id: str, state: str, after: str, limit: int, *, search: str = ""
    ) -> tuple[list[Document], str | None]:
        """Return orders for operators, newest first, and the next cursor. Raises InvalidCursor.

        `search` matches a whole user_id, or the start of an order or transaction number.
        """
        where = given(user_id=user_id, state=state)
        if search:
            where["$or"] = [{"user_id": search}, {"_id": starts_with(search)}]
        if len(search) > USER_ID_DIGITS:
            where["$or"] += [{"transaction": starts_with(search)}]
        return await page(self._documents, where, "created_at", after, limit)

    def _open_order(self, row: Document) -> OpenOrder:
        order, prepay_id = self.parse(row), row.get("prepay_id", "")
        return OpenOrder(order, row["block_id"], row["slot"], row["created_at"], prepay_id)
