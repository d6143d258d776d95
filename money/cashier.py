"""The one path by which a payment becomes gold: the order, the entry and the purse, once."""

from dataclasses import replace
from typing import Any, Protocol

from money.book import Answer
from money.recharge import (
    Order,
    Payment,
    PaymentRefused,
    Refund,
    check,
    check_refund,
    entry_of,
    gold_back,
    key_of,
    reversal_of,
)
from money.teller import AlreadyWritten, Book, Hold


class Till(Protocol):
    """Where orders are kept."""

    async def find(self, number: str, tx: Any = None) -> Order | None: ...
    async def pay(self, tx: Any, number: str, payment: Payment) -> None: ...
    async def refund(self, tx: Any, number: str, refund: Refund) -> int:
        """Adds to what was given back; the fen that had been before."""


class Cashier:
    """The notification and the query come here, both at once as well: they credit once."""

    def __init__(self, book: Book, till: Till, hold: Hold) -> None:
        self._book = book
        self._till = till
        self._hold = hold

    async def credit(self, payment: Payment) -> bool:
        """Whether it was news; PaymentRefused when it is not what its order says.

        Repeating it is harmless.
        """
        order = await self._till.find(payment.order)
        if order is None:
            raise PaymentRefused("order")
        check(order, payment)
        try:
            async with self._hold(order.user_id):
                await self._book.alone(lambda tx: self._write(tx, order, payment))
        except AlreadyWritten as written:
            await self._book.settled(written.key)  # whoever reported it does not come again
            return False
        return True

    async def refund(self, refund: Refund) -> bool:
        """Whether it was news; PaymentRefused when it is not what its order says, or "not_paid"
        while there is nothing to give back (yet)."""
        order = await self._till.find(refund.order)
        if order is None:
            raise PaymentRefused("order")
        try:
            async with self._hold(order.user_id):
                await self._book.alone(lambda tx: self._reverse(tx, order, refund))
        except AlreadyWritten as written:
            await self._book.settled(written.key)  # whoever reported it does not come again
            return False
        return True

    async def _reverse(self, tx: Any, order: Order, refund: Refund) -> Answer:
        key = reversal_of(order, refund, 0, 0).key
        if await self._book.find(key, tx):
            raise AlreadyWritten(key)
        if await self._book.find(key_of(order.number), tx) is None:
            raise PaymentRefused("not_paid")
        before = await self._till.refund(tx, order.number, refund)
        check_refund(order, refund, before)
        gold, purse = gold_back(order, refund, before), await self._book.purse(tx, order.user_id)
        entry = reversal_of(order, refund, gold, purse.gold)
        await self._book.move(tx, entry.lines)
        answer = (await self._book.purse(tx, order.user_id))._asdict()
        await self._book.write(tx, replace(entry, answer=answer), None)
        return answer

    async def _write(self, tx: Any, order: Order, payment: Payment) -> Answer:
        entry = entry_of(order, payment)
        if await self._book.find(entry.key, tx):
            raise AlreadyWritten(entry.key)
        answer = (await self._book.move(tx, entry.lines))[order.user_id]._asdict()
        await self._book.write(tx, replace(entry, answer=answer), None)
        await self._till.pay(tx, order.number, payment)
        return answer
