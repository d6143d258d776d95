"""Polls payment providers for unpaid orders; credits or finally closes them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from prometheus_client import Counter

from core.retry import ORDERS
from ledger.recharge import CLOSE_AFTER, ClaimedOrder, Order, Payment, PaymentRefused
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.payments.payments import PaymentService
from storage.payments.orders import OrderStore
from tencent.clients import PaymentClient
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.orders")

GIVE_UP_AFTER = timedelta(days=1)
"""How long errors are retried: a provider may have only an error for an unknown order."""
NORMAL_OUTCOMES = ("paid", "delivered", "closed", "later")
"""Every other outcome is the reason why a payment was refused."""
CONCURRENCY = 8
"""Orders of one provider that a process checks at once: far fewer than the connections to it, which
new orders need as well."""
CHECK_SECONDS = 45
"""Time limit of one check: two calls with a retry each take 41 s if all of them time out."""
CLAIM_LEASE = timedelta(minutes=1)
"""Lease of an order while a process checks it; longer than a check can take."""
IDLE_SECONDS = 5.0
OTHERS = "other"
"""Job of the orders whose provider is no longer configured."""


class UnpaidOrderSweep:
    """Credits payments found by polling, idempotently with their notifications."""

    def __init__(
        self,
        orders: OrderStore,
        payments: PaymentService,
        providers: Mapping[str, PaymentClient],
        refused: Counter,
    ) -> None:
        """Take `providers` by name, as stored in orders; `refused` counts refused payments."""
        self._orders = orders
        self._payments = payments
        self._providers = providers
        self._refused = refused
        self.jobs: Mapping[str, ClaimedJob[ClaimedOrder]] = {
            **{name: self._job(name, name) for name in providers},
            OTHERS: self._job(OTHERS, {"$nin": list(providers)}),
        }
        """By provider, so that one delays only its own orders."""

    def _job(self, name: str, provider: Any) -> ClaimedJob[ClaimedOrder]:
        return ClaimedJob(
            f"orders_{name}",
            one_by_one(partial(self._orders.claim, provider, CLAIM_LEASE)),
            self._check_in_time,
            concurrency=CONCURRENCY,
            idle=IDLE_SECONDS,
        )

    async def _check_in_time(self, claimed: ClaimedOrder) -> None:
        now = datetime.now(UTC)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                outcome = await self.check(claimed, now)
        except (ServiceUnavailable, TimeoutError):
            outcome = await self.postpone(claimed, now)
        log.info("order_checked", order=claimed.order.number, outcome=outcome)
        if outcome not in NORMAL_OUTCOMES:
            self._refused.labels(f"{claimed.order.provider}_query", outcome).inc()

    async def check(self, claimed: ClaimedOrder, now: datetime) -> str:
        """Check one order; return its state, or why its payment was refused.

        The states are paid, delivered, closed and later. Errors of the provider propagate; the
        caller then calls `postpone`.
        """
        order, number = claimed.order, claimed.order.number
        provider = self._providers.get(order.provider)
        late = now - claimed.created_at >= CLOSE_AFTER
        if provider is None:
            await self._orders.close(number)
            return "closed"
        if order.state == "paid":
            await provider.deliver(order)
            await self._orders.delivered(number)
            return "delivered"
        if late:
            await provider.close(order)  # queried afterwards: it may have been paid just before
        payment = await provider.query(order)
        if payment:
            return await self._credit(order, payment)
        if late:
            await self._orders.close(number)
            return "closed"
        await self._orders.postpone(number, ORDERS.next_check(claimed.created_at, now))
        return "later"

    async def postpone(self, claimed: ClaimedOrder, now: datetime) -> str:
        """Postpone an order whose provider did not answer; after GIVE_UP_AFTER, close it."""
        order = claimed.order
        if now - claimed.created_at >= GIVE_UP_AFTER:
            give_up = self._orders.delivered if order.state == "paid" else self._orders.close
            await give_up(order.number)
            return "closed"
        await self._orders.postpone(order.number, ORDERS.next_check(claimed.created_at, now))
        return "later"

    async def _credit(self, order: Order, payment: Payment) -> str:
        try:
            await self._payments.credit(payment)
        except PaymentRefused as refused:
            await self._orders.dispute(order.number, refused.reason.value)
            return refused.reason.value
        return "paid"
