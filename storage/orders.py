"""orders: what people set out to buy; `_id` is the number by which WeChat knows it."""

import secrets
from datetime import UTC, datetime
from typing import Any

from storage.database import Collection, Database


class Orders:
    """An order is created, then paid or closed, one way."""

    def __init__(self, database: Database) -> None:
        self._orders: Collection = database.collection("orders")

    async def make_indexes(self) -> None:
        await self._orders.create_index([("user_id", 1), ("created_at", -1)])
        await self._orders.create_index([("state", 1), ("created_at", 1)])

    async def create(self, user_id: str, block: dict[str, Any], provider: str) -> str:
        """A new order for a block at its present gold and price (fen); answers its number."""
        now = datetime.now(UTC)
        number = f"Q{now:%Y%m%d%H%M%S}{secrets.token_hex(6)}"
        await self._orders.insert_one(
            {
                "_id": number,
                "user_id": user_id,
                "block_id": block["id"],
                "gold": block["gold"],
                "fen": block["fen"],
                "provider": provider,
                "state": "created",
                "created_at": now,
            }
        )
        return number
