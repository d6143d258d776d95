"""Recharge: what gold costs, and an order for it."""

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any

from handlers import answers, asks
from handlers.admission import SignedIn
from handlers.base import call
from money.rank import CHINA
from money.recharge import Order
from rooms.refusals import LogInAgain
from storage.orders import new_number
from storage.users import User
from tencent.paynotice import PROVIDER as JSAPI
from tencent.xpay import PROVIDER as XPAY


class Pay(SignedIn):
    """The blocks of gold for sale, and ordering one; gold arrives by the notification only."""

    @call
    async def get(self) -> answers.BlockList:
        return answers.BlockList([_block(row) for row in await self.parts.blocks.all()])

    @call
    async def post(self, ask: asks.Pay) -> answers.Order:
        parts, pay = self.parts, self.parts.settings.pay
        block = await parts.blocks.get(ask.block_id)
        key = await self._session_key() if pay.provider == XPAY else ""
        order = _order(self.user, block, pay.provider, sandbox=pay.sandbox)
        await parts.orders.add(order, block["id"])
        provider = parts.jsapi if pay.provider == JSAPI else parts.xpay
        assert provider, "a laptop makes the keys up, and production does not start without"
        content = json.dumps(await provider.prepare(order, key), separators=(",", ":"))
        timestamp = datetime.now(CHINA).strftime("%Y-%m-%d %H:%M:%S")
        return answers.Order(
            timestamp=timestamp, content=content, sign=sign(pay.content_key, timestamp, content)
        )

    async def _session_key(self) -> str:
        """WeChat's, with which the user's consent is signed; LogInAgain."""
        sealed = await self.parts.users.session_key(self.user.user_id)
        key = self.parts.vault.open(sealed, self.user.user_id)
        if key is None:
            raise LogInAgain
        return key


def sign(key: str, timestamp: str, content: str) -> str:
    """hex HMAC-SHA256 over timestamp + "\\n" + content."""
    return hmac.new(key.encode(), f"{timestamp}\n{content}".encode(), hashlib.sha256).hexdigest()


def yuan(fen: int) -> str:
    """6 yuan as "6.00"."""
    return f"{fen // 100}.{fen % 100:02}"


def _block(row: dict[str, int]) -> answers.Block:
    return answers.Block(id=row["id"], gold=row["gold"], price=yuan(row["fen"]))


def _order(user: User, block: dict[str, Any], provider: str, *, sandbox: bool) -> Order:
    """At the block's present gold and price."""
    of_xpay = provider == XPAY
    return Order(
        number=new_number(),
        user_id=user.user_id,
        provider=provider,
        app_id=user.app_id,
        openid=user.openid,
        product=f"gold_{block['gold']}" if of_xpay else "",
        fen=block["fen"],
        gold=block["gold"],
        sandbox=of_xpay and sandbox,
    )
