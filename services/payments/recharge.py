"""Creates recharge orders for gold."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from config.sections import PaySettings
from core.clock import CHINA_TZ
from core.retry import retry_on_conflict
from ledger.recharge import OpenOrder, Order, find_repeated, free_slot
from services.errors import SessionKeyMissing, TooManyOrders
from services.gold.ledger import LockUsers
from storage.accounts.users import User, UserStore
from storage.gold.catalogue import RechargeBlockStore
from storage.payments.orders import OrderStore, new_number
from tencent.clients import PaymentClient
from tencent.xpay import PROVIDER as XPAY


class PreparedOrder(NamedTuple):
    """Payment parameters for the client.

    `content` is the JSON that the client passes to WeChat; `sign` covers it and `timestamp`.
    """

    timestamp: str
    content: str
    sign: str


class RechargeService:
    """Creates orders with the configured payment provider."""

    def __init__(
        self,
        orders: OrderStore,
        blocks: RechargeBlockStore,
        users: UserStore,
        providers: Mapping[str, PaymentClient],
        lock: LockUsers,
        settings: PaySettings,
    ) -> None:
        self._orders = orders
        self._blocks = blocks
        self._users = users
        self._providers = providers
        self._lock = lock
        self._settings = settings

    async def order(self, user: User, block_id: int, platform: str = "") -> PreparedOrder:
        """Order a block at its current price; repeated, the open order is returned again.

        `platform` is the client's system, stored with the order. Raises BlockNotFound,
        SessionKeyMissing or TooManyOrders.
        """
        block = await self._blocks.get(block_id)
        key = await self._session_key(user.user_id) if self._settings.provider == XPAY else ""
        async with self._lock(f"order:{user.user_id}"):  # else each would call the provider
            order = self._new_order(user, block, platform)
            # Another process may add one at the same time.
            opened = await retry_on_conflict(lambda: self._find_or_add(order, block["id"]))
            prepay_id = opened.prepay_id or await self._register(opened)
        provider = self._providers[self._settings.provider]
        content = json.dumps(
            provider.payment_call(opened.order, prepay_id, key), separators=(",", ":")
        )
        timestamp = datetime.now(CHINA_TZ).strftime("%Y-%m-%d %H:%M:%S")
        signature = sign(self._settings.content_key, timestamp, content)
        return PreparedOrder(timestamp, content, signature)

    async def _find_or_add(self, order: Order, block_id: int) -> OpenOrder:
        """Return the open order that `order` repeats, or `order` itself, stored."""
        open_orders = await self._orders.open_orders(order.user_id)
        if repeated := find_repeated(open_orders, order, block_id):
            if order.platform not in ("", repeated.order.platform):
                await self._orders.store_platform(repeated.order.number, order.platform)
            return repeated
        slot = free_slot(open_orders)
        if slot is None:
            raise TooManyOrders
        return await self._orders.open(order, block_id, slot)

    async def _register(self, opened: OpenOrder) -> str:
        """Register the order with its provider, once unless that fails.

        Return the prepay_id, if any.
        """
        provider = self._providers[self._settings.provider]
        prepay_id = await provider.register(opened.order, opened.expires_at)
        if prepay_id:
            await self._orders.store_prepay_id(opened.order.number, prepay_id)
        return prepay_id

    async def _session_key(self, user_id: str) -> str:
        """Return WeChat's session key, which signs the user's consent (xpay)."""
        key = await self._users.session_key(user_id)
        if key is None:
            raise SessionKeyMissing
        return key

    def _new_order(self, user: User, block: Mapping[str, Any], platform: str) -> Order:
        is_xpay = self._settings.provider == XPAY
        return Order(
            number=new_number(),
            user_id=user.user_id,
            provider=self._settings.provider,
            app_id=user.app_id,
            openid=user.openid,
            product=f"gold_{block['gold']}" if is_xpay else "",
            fen=block["fen"],
            gold=block["gold"],
            sandbox=is_xpay and self._settings.sandbox,
            platform=platform,
        )


def sign(key: str, timestamp: str, content: str) -> str:
    """Return the hex HMAC-SHA256 over timestamp + "\\n" + content."""
    return hmac.new(key.encode(), f"{timestamp}\n{content}".encode(), hashlib.sha256).hexdigest()
