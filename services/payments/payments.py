"""The only path that credits a payment or reverses a refund."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from ledger.journal import JournalEntry, StoredEntry
from ledger.recharge import (
    Order,
    Payment,
    PaymentRefused,
    Refund,
    RefusalReason,
    check_payment,
    check_refund,
    counts_as_ios,
    gold_to_reverse,
    recharge_entry,
    recharge_key,
    reversal_entry,
)
from services.gold.ledger import LockUsers
from storage.gold.ledger import LedgerStore
from storage.payments.orders import OrderStore


class PaymentService:
    """Credits each payment once, even if notification and query arrive concurrently."""

    def __init__(self, ledger: LedgerStore, orders: OrderStore, lock: LockUsers) -> None:
        self._ledger = ledger
        self._orders = orders
        self._lock = lock

    async def credit(self, payment: Payment) -> bool:
        """Credit the order; return False if that was done before. Idempotent.

        Raises PaymentRefused if the payment does not match its order.
        """
        order = await self._order(payment.order)
        check_payment(order, payment)
        entry = recharge_entry(order, payment)
        return await self._run_once(
            order, entry.key, lambda tx: self._credit(tx, order, payment, entry)
        )

    async def refund(self, refund: Refund) -> bool:
        """Reverse a refunded payment; return False if that was done before. Idempotent.

        Raises PaymentRefused, with NOT_PAID as long as no payment was credited.
        """
        order = await self._order(refund.order)
        key = reversal_entry(order, refund, 0, 0).key
        return await self._run_once(order, key, lambda tx: self._reverse(tx, order, refund))

    async def _order(self, number: str) -> Order:
        order = await self._orders.find(number)
        if order is None:
            raise PaymentRefused(RefusalReason.ORDER)
        return order

    async def _run_once(
        self, order: Order, key: str, work: Callable[[Any], Awaitable[None]]
    ) -> bool:
        """Run `work`, and return False if an earlier transaction has done it.

        Once acknowledged, the provider stops retrying: the entry is durable by then.
        """
        async with self._lock(order.user_id):
            return not isinstance(await self._ledger.run_once(key, work), StoredEntry)

    async def _reverse(self, tx: Any, order: Order, refund: Refund) -> None:
        if await self._ledger.find(recharge_key(order.number), tx) is None:
            raise PaymentRefused(RefusalReason.NOT_PAID)
        before = await self._orders.refund(tx, order.number, refund)
        check_refund(order, refund, before)
        gold = gold_to_reverse(order, refund, before)
        funds = await self._ledger.balance(tx, order.user_id)
        entry = reversal_entry(order, refund, gold, funds.gold)
        await self._ledger.move(tx, entry.lines)
        answer = (await self._ledger.balance(tx, order.user_id))._asdict()
        await self._ledger.write(tx, replace(entry, answer=answer))

    async def _credit(self, tx: Any, order: Order, payment: Payment, entry: JournalEntry) -> None:
        answer = (await self._ledger.move(tx, entry.lines))[order.user_id]._asdict()
        await self._ledger.write(tx, replace(entry, answer=answer))
        await self._orders.pay(tx, order.number, payment)
        if counts_as_ios(order, payment):
            await self._ledger.note_ios_payment(order.user_id, tx)
