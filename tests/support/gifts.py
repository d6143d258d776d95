"""Gifts of the initial catalogue, and the call that gives them."""

from typing import Any

from tests.support.api import ApiClient, Reply

ROSE, CANDY, CAR = 1, 2, 6
"""Gift ids; they cost 1, 5 and 1314 gold."""


async def give(
    client: ApiClient, to: str, gift_id: int = CANDY, num: object = 1, **params: Any
) -> Reply:
    return await client.get("qlive_gift/push_gift/", user_id=to, gift_id=gift_id, num=num, **params)
