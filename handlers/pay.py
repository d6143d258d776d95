"""Recharge: what gold costs, and an order for it."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

from handlers import answers, asks
from handlers.admission import SignedIn
from handlers.answers import CHINA
from handlers.base import call

ORDER_LIFE = timedelta(hours=2)
"""As long as WeChat keeps a prepay_id."""


class Pay(SignedIn):
    """The blocks of gold for sale, and ordering one; gold arrives by the notification only."""

    @call
    async def get(self) -> answers.BlockList:
        return answers.BlockList([_block(row) for row in await self.parts.blocks.all()])

    @call
    async def post(self, ask: asks.Pay) -> answers.Order:
        parts, user = self.parts, self.user
        block = await parts.blocks.get(ask.block_id)
        provider = parts.settings.pay.provider
        number = await parts.orders.create(user.user_id, block, provider)
        phone = await parts.pay.prepare(
            number,
            user.app_id,
            user.openid,
            block["fen"],
            f"{block['gold']} gold",
            datetime.now(UTC) + ORDER_LIFE,
        )
        content = json.dumps(phone, separators=(",", ":"))
        timestamp = datetime.now(CHINA).strftime("%Y-%m-%d %H:%M:%S")
        key = parts.settings.pay.content_key
        return answers.Order(
            timestamp=timestamp, content=content, sign=sign(key, timestamp, content)
        )


def sign(key: str, timestamp: str, content: str) -> str:
    """hex HMAC-SHA256 over timestamp + "\\n" + content."""
    return hmac.new(key.encode(), f"{timestamp}\n{content}".encode(), hashlib.sha256).hexdigest()


def yuan(fen: int) -> str:
    """6 yuan as "6.00"."""
    return f"{fen // 100}.{fen % 100:02}"


def _block(row: dict[str, int]) -> answers.Block:
    return answers.Block(id=row["id"], gold=row["gold"], price=yuan(row["fen"]))
