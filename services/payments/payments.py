"""The only path that credits a payment or reverses a refund."""

from dataclasses import dataclass
from typing import Any

from ledger.errors import RefusalReason, ReportRefused
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
    refund_key,
    reversal_entry,
)
from people.user_events import PaymentReceived, RefundMoved
from rooms.events import NewEvent
from services.gold.ledger import LockUsers
from storage.gold.ledger import LedgerStore
from storage.payments.orders import OrderStore
from storage.user_channels import UserChannelStore
from storage.webhooks.payloads import OrderPaidPayload, OrderRefundedPayload
from storage.webhooks.webhooks import WebhookStore


@dataclass
class PaymentService:
    """Credits each payment once, even if notification and query arrive concurrently.

    A payment or refund is durable before it is acknowledged, after which its provider stops
    retrying.
    """

    _ledger: LedgerStore
    _orders: OrderStore
    _channels: UserChannelStore
    _webhooks: WebhookStore
    _lock: LockUsers

    async def credit(self, payment: Payment) -> None:
        """Credit the order. Idempotent. Raises ReportRefused if the payment does not match it."""
        order = await self._order(payment.order)
        check_payment(order, payment)
        entry = recharge_entry(order, payment)

        async def work(tx: Any) -> None:
            await self._ledger.post(tx, entry, order.user_id)
            await self._orders.pay(tx, order.number, payment)
            if counts_as_ios(order, payment):
                await self._ledger.note_ios_payment(order.user_id, tx)
            received = PaymentReceived(order=order.number, gold=order.gold)
            await self._channels.add(order.user_id, NewEvent("payment", received), tx)
            fen = payment.paid_fen or order.fen
            paid = OrderPaidPayload(
                order=order.number, user_id=order.user_id, gold=order.gold, fen=fen
            )
            await self._webhooks.add(tx, NewEvent("order.paid", paid))

        async with self._lock(order.user_id):
            await self._ledger.run_once(entry.key, work)

    async def refund(self, refund: Refund) -> None:
        """Reverse a refunded payment. Idempotent.

        Raises ReportRefused, with NOT_PAID as long as no payment was credited.
        """
        order = await self._order(refund.order)

        async def work(tx: Any) -> None:
            if await self._ledger.find(recharge_key(order.number), tx) is None:
                raise ReportRefused(RefusalReason.NOT_PAID)
            before = await self._orders.refund(tx, order.number, refund)
            check_refund(order, refund, before)
            gold = gold_to_reverse(order, refund, before)
            available = (await self._ledger.balance(tx, order.user_id)).gold
            entry = reversal_entry(order, refund, gold, available)
            await self._ledger.post(tx, entry, order.user_id)
            moved = RefundMoved(order=order.number, gold=gold, state="refunded")
            await self._channels.add(order.user_id, NewEvent("refund", moved), tx)
            refunded = OrderRefundedPayload(
                order=order.number, user_id=order.user_id, gold=gold, fen=refund.fen
            )
            await self._webhooks.add(tx, NewEvent("order.refunded", refunded))

        async with self._lock(order.user_id):
            await self._ledger.run_once(refund_key(refund), work)

    async def _order(self, number: str) -> Order:
        order = await self._orders.find(number)
        if order is None:
            raise ReportRefused(RefusalReason.ORDER)
        return order
