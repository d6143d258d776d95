"""Recharge orders: created, then polled until they are paid or closed."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import structlog
from prometheus_client import Counter

from config.sections import PaySettings
from core.clock import CHINA_TZ
from core.retry import ORDERS, retry_on_conflict
from ledger.errors import ReportRefused
from ledger.recharge import (
    CLOSE_AFTER,
    ClaimedOrder,
    OpenOrder,
    Order,
    find_repeated,
    free_slot,
)
from services.errors import SessionKeyMissing, TooManyOrders
from services.gold.ledger import LockUsers
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from services.payments.payments import PaymentService
from storage.accounts.users import User
from storage.documents import dated_id
from storage.payments.orders import OrderStore
from storage.stores import Stores
from tencent.clients import PaymentClient
from tencent.errors import ServiceUnavailable
from tencent.xpay import PROVIDER as XPAY

log = structlog.get_logger("qlive.orders")

GIVE_UP_AFTER = timedelta(days=1)
"""How long errors are retried: a provider may have only an error for an unknown order."""
NORMAL_OUTCOMES = ("paid", "delivered", "closed", "later")
"""Every other outcome of a check is the reason why a payment was refused."""
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


class PreparedOrder(NamedTuple):
    """Payment parameters: `sign` covers `timestamp` and `content`, the JSON for WeChat."""

    timestamp: str
    content: str
    sign: str


@dataclass
class RechargeService:
    """Creates orders with the configured payment provider."""

    _stores: Stores
    _providers: Mapping[str, PaymentClient]
    _lock: LockUsers
    _settings: PaySettings

    async def order(self, user: User, block_id: int, platform: str = "") -> PreparedOrder:
        """Order a block at its current price; repeated, the open order is returned again.

        `platform` is the client's system, stored with the order. Raises BlockNotFound,
        SessionKeyMissing or TooManyOrders.
        """
        settings, block = self._settings, await self._stores.blocks.get(block_id)
        is_xpay, provider = settings.provider == XPAY, self._providers[settings.provider]
        # WeChat's session key signs the user's consent.
        key = await self._stores.users.session_key(user.user_id) if is_xpay else ""
        if key is None:
            raise SessionKeyMissing
        async with self._lock(f"order:{user.user_id}"):  # else each would call the provider
            order = Order(
                number=dated_id("Q"),
                user_id=user.user_id,
                provider=settings.provider,
                app_id=user.app_id,
                openid=user.openid,
                product=f"gold_{block['gold']}" if is_xpay else "",
                fen=block["fen"],
                gold=block["gold"],
                sandbox=is_xpay and settings.sandbox,
                platform=platform,
            )
            # Another process may add one at the same time.
            opened = await retry_on_conflict(lambda: self._find_or_add(order, block["id"]))
            prepay_id = opened.prepay_id
            if not prepay_id:
                prepay_id = await provider.register(opened.order, opened.expires_at)
                if prepay_id:
                    await self._stores.orders.note(opened.order.number, prepay_id=prepay_id)
        call = provider.payment_call(opened.order, prepay_id, key)
        content = json.dumps(call, separators=(",", ":"))
        timestamp = datetime.now(CHINA_TZ).strftime("%Y-%m-%d %H:%M:%S")
        signed = f"{timestamp}\n{content}".encode()
        signature = hmac.new(settings.content_key.encode(), signed, hashlib.sha256).hexdigest()
        return PreparedOrder(timestamp, content, signature)

    async def _find_or_add(self, order: Order, block_id: int) -> OpenOrder:
        """Return the open order that `order` repeats, or `order` itself, stored."""
        open_orders = await self._stores.orders.open_orders(order.user_id)
        if repeated := find_repeated(open_orders, order, block_id):
            if order.platform not in ("", repeated.order.platform):
                await self._stores.orders.note(repeated.order.number, platform=order.platform)
            return repeated
        slot = free_slot(open_orders)
        if slot is None:
            raise TooManyOrders
        return await self._stores.orders.open(order, block_id, slot)


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
        claims: dict[str, Any] = {name: name for name in providers}
        claims[OTHERS] = {"$nin": list(providers)}
        self.jobs: Mapping[str, ClaimedJob[ClaimedOrder]] = {
            name: ClaimedJob(
                f"orders_{name}",
                one_by_one(partial(orders.claim, provider, CLAIM_LEASE)),
                self._check_in_time,
                concurrency=CONCURRENCY,
                idle=IDLE_SECONDS,
            )
            for name, provider in claims.items()
        }
        """By provider, so that one delays only its own orders."""

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
        """Check one order; return one of NORMAL_OUTCOMES, or why its payment was refused.

        Errors of the provider propagate; the caller then calls `postpone`.
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
        if payment := await provider.query(order):
            try:
                await self._payments.credit(payment)
            except ReportRefused as refused:
                await self._orders.dispute(number, refused.reason.value)
                return refused.reason.value
            return "paid"
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
