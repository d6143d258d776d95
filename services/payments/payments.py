"""The only path that credits a payment or reverses a refund."""

from collections.abc import Awaitable, Callable
from typing import Any

from ledger.errors import EntryExists, RefusalReason, ReportRefused
from ledger.journal import JsonObject
from ledger.recharge import (
    Order,
    Payment,
    Refund,
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

    async def credit(self, payment: Payment) -> None:
        """Credit the order. Idempotent. Raises ReportRefused if the payment does not match it."""
        order = await self._order(payment.order)
        check_payment(order, payment)
        await self._run_once(order, lambda tx: self._credit(tx, order, payment))

    async def refund(self, refund: Refund) -> None:
        """Reverse a refunded payment. Idempotent.

        Raises ReportRefused, with NOT_PAID as long as no payment was credited.
        """
        order = await self._order(refund.order)
        await self._run_once(order, lambda tx: self._reverse(tx, order, refund))

    async def _order(self, number: str) -> Order:
        order = await self._orders.find(number)
        if order is None:
            raise ReportRefused(RefusalReason.ORDER)
        return order

    async def _run_once(self, order: Order, work: Callable[[Any], Awaitable[JsonObject]]) -> None:
        """Run `work`, unless an earlier transaction has done it."""
        try:
            async with self._lock(order.user_id):
                await self._ledger.run_transaction(work)
        except EntryExists as existing:
            # Once acknowledged, the provider stops retrying: the entry must be durable.
            await self._ledger.find_committed(existing.key)

    async def _reverse(self, tx: Any, order: Order, refund: Refund) -> JsonObject:
        key = reversal_entry(order, refund, 0, 0).key
        if await self._ledger.find(key, tx):
            raise EntryExists(key)
        if await self._ledger.find(recharge_key(order.number), tx) is None:
            raise ReportRefused(RefusalReason.NOT_PAID)
        before = await self._orders.refund(tx, order.number, refund)
        check_refund(order, refund, before)
        gold = gold_to_reverse(order, refund, before)
        funds = await self._ledger.balance(tx, order.user_id)
        entry = reversal_entry(order, refund, gold, funds.gold)
        return await self._ledger.post(tx, entry, order.user_id)

    async def _credit(self, tx: Any, order: Order, payment: Payment) -> JsonObject:
        entry = recharge_entry(order, payment)
        if await self._ledger.find(entry.key, tx):
            raise EntryExists(entry.key)
        answer = await self._ledger.post(tx, entry, order.user_id)
        await self._orders.pay(tx, order.number, payment)
        if counts_as_ios(order, payment):
            await self._ledger.note_ios_payment(order.user_id, tx)
        return answer
