"""Creates recharge orders for gold."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from core.clock import CHINA_TZ
from ledger.recharge import Order
from services.errors import SessionKeyMissing
from storage.blocks import RechargeBlockStore
from storage.field_cipher import FieldCipher
from storage.orders import OrderStore, new_number
from storage.users import User, UserStore
from tencent.pay import JsapiClient
from tencent.xpay import PROVIDER as XPAY
from tencent.xpay import XpayClient


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
        cipher: FieldCipher,
        providers: Mapping[str, JsapiClient | XpayClient],
        *,
        provider: str,
        sandbox: bool,
        content_key: str,
    ) -> None:
        """`content_key` signs the payment parameters for the client."""
        self._orders = orders
        self._blocks = blocks
        self._users = users
        self._cipher = cipher
        self._providers = providers
        self._provider = provider
        self._sandbox = sandbox
        self._content_key = content_key

    async def order(self, user: User, block_id: int) -> PreparedOrder:
        """Order a block at its current price. Raises BlockNotFound, SessionKeyMissing."""
        block = await self._blocks.get(block_id)
        key = await self._session_key(user.user_id) if self._provider == XPAY else ""
        order = self._new_order(user, block)
        await self._orders.add(order, block["id"])
        prepared = await self._providers[self._provider].prepare(order, key)
        content = json.dumps(prepared, separators=(",", ":"))
        timestamp = datetime.now(CHINA_TZ).strftime("%Y-%m-%d %H:%M:%S")
        return PreparedOrder(timestamp, content, sign(self._content_key, timestamp, content))

    async def _session_key(self, user_id: str) -> str:
        """WeChat's session key, which signs the user's consent (xpay)."""
        key = self._cipher.decrypt(await self._users.session_key(user_id), user_id)
        if key is None:
            raise SessionKeyMissing
        return key

    def _new_order(self, user: User, block: Mapping[str, Any]) -> Order:
        is_xpay = self._provider == XPAY
        return Order(
            number=new_number(),
            user_id=user.user_id,
            provider=self._provider,
            app_id=user.app_id,
            openid=user.openid,
            product=f"gold_{block['gold']}" if is_xpay else "",
            fen=block["fen"],
            gold=block["gold"],
            sandbox=is_xpay and self._sandbox,
        )


def sign(key: str, timestamp: str, content: str) -> str:
    """Hex HMAC-SHA256 over timestamp + "\\n" + content."""
    return hmac.new(key.encode(), f"{timestamp}\n{content}".encode(), hashlib.sha256).hexdigest()
