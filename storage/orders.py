"""orders: what people set out to buy; `_id` is the number by which WeChat knows it."""

import secrets
from datetime import UTC, datetime

from pymongo import ReturnDocument

from money.recharge import Order, Payment, Refund
from money.sweep import ASK_AFTER, Open
from storage.database import Collection, Database, Document, Session
from storage.pages import page, starts

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any order: what is due has a time, and an index of its own."""
USER_ID = 8
"""Digits. Transactions of WeChat are digits as well, and begin with the same ones for years."""


class Orders:
    """An order is created, then paid or closed."""

    def __init__(self, database: Database) -> None:
        self._orders: Collection = database.collection("orders")

    async def make_indexes(self) -> None:
        newest = [("created_at", -1), ("_id", -1)]
        await self._orders.create_index(newest)
        await self._orders.create_index([("user_id", 1), *newest])
        await self._orders.create_index([("state", 1), *newest])
        await self._orders.create_index(
            "transaction", partialFilterExpression={"transaction": {"$gt": ""}}
        )
        await self._orders.create_index(
            "due_at", partialFilterExpression={"due_at": {"$gt": LONG_AGO}}
        )
        await self._orders.create_index(
            "paid_at", partialFilterExpression={"paid_at": {"$gt": LONG_AGO}}
        )

    async def add(self, order: Order, block_id: int) -> None:
        """A new one, to be asked about before long."""
        now = datetime.now(UTC)
        times = {"created_at": now, "asked": 0, "due_at": now + ASK_AFTER[0]}
        await self._orders.insert_one({**_to(order), "block_id": block_id, **times})

    async def find(self, number: str, session: Session | None = None) -> Order | None:
        row = await self._orders.find_one({"_id": number}, session=session)
        return order_from(row) if row else None

    async def pay(self, session: Session, number: str, payment: Payment) -> None:
        """Paid, by this transaction of the provider, which is to hear next that the gold is there;
        harmless when it is already."""
        now = datetime.now(UTC)
        paid = {"state": "paid", "transaction": payment.transaction, "paid_at": now, "due_at": now}
        await self._orders.update_one(
            {"_id": number, "state": {"$ne": "paid"}}, {"$set": paid}, session=session
        )

    async def refund(self, session: Session, number: str, refund: Refund) -> int:
        """Adds to what was given back; the fen that had been before."""
        row = await self._orders.find_one_and_update(
            {"_id": number}, {"$inc": {"refunded": refund.fen}}, session=session
        )
        return int((row or {}).get("refunded", 0))

    # ---- those that nobody has told us of

    async def claim(self, now: datetime, until: datetime) -> Open | None:
        """An order to ask about, ours until then."""
        row = await self._orders.find_one_and_update(
            {"due_at": {"$gt": LONG_AGO, "$lte": now}},
            {"$set": {"due_at": until}, "$inc": {"asked": 1}},
            sort=[("due_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return Open(order_from(row), row["created_at"], row["asked"]) if row else None

    async def later(self, number: str, at: datetime) -> None:
        """Unless there is nothing to ask about any more."""
        await self._orders.update_one(
            {"_id": number, "due_at": {"$gt": LONG_AGO}}, {"$set": {"due_at": at}}
        )

    async def close(self, number: str) -> None:
        await self._orders.update_one(
            {"_id": number, "state": "created"},
            {"$set": {"state": "closed", "closed_at": datetime.now(UTC), "due_at": None}},
        )

    async def delivered(self, number: str) -> None:
        await self._orders.update_one({"_id": number}, {"$set": {"due_at": None}})

    async def dispute(self, number: str, word: str) -> None:
        """What was paid is not what it says: it is for operators to look at."""
        await self._orders.update_one({"_id": number}, {"$set": {"refused": word, "due_at": None}})

    async def oldest_unpaid(self) -> datetime | None:
        """Of those that may still be paid: a disputed one waits for operators."""
        waiting = {"state": "created", "refused": None}
        row = await self._orders.find_one(waiting, sort=[("created_at", 1)])
        return row["created_at"] if row else None

    async def page(
        self, user_id: str, state: str, after: str, limit: int, *, said: str = ""
    ) -> tuple[list[Document], str | None]:
        """For operators: with `said` a whole user id, or the start of a number or transaction;
        NoCursor."""
        where: Document = {"user_id": user_id} if user_id else {}
        if state:
            where["state"] = state
        if said:
            where["$or"] = [{"user_id": said}, {"_id": starts(said)}]
        if len(said) > USER_ID:
            where["$or"] += [{"transaction": starts(said)}]
        return await page(self._orders, where, "created_at", after, limit)


def _to(order: Order) -> Document:
    row = {name: getattr(order, name) for name in Order.__slots__}
    row["_id"] = row.pop("number")
    return row


def order_from(row: Document) -> Order:
    """What a later version stores besides is no business of this one."""
    known = {name: row[name] for name in Order.__slots__ if name in row}
    return Order(**{**known, "number": row["_id"]})


def new_number() -> str:
    """31 of [0-9A-Za-z], which WeChat Pay and xpay both allow; nobody can guess another's."""
    return f"Q{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(8)}"
