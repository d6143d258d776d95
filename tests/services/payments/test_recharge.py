import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pytest

from config.sections import PaySettings
from core.limits import NamedLocks
from ledger.recharge import MAX_OPEN_ORDERS, Order
from services.errors import TooManyOrders
from services.payments.orders import RechargeService
from storage.accounts.users import User
from tencent.errors import ServiceUnavailable
from tests.support.storage import StoresFixture


@dataclass
class FakeProvider:
    """Registers every order; payment calls show how they were made."""

    registered: list[tuple[str, datetime]] = field(default_factory=list)
    fails: bool = False

    async def register(self, order: Order, expires_at: datetime) -> str:
        self.registered.append((order.number, expires_at))
        if self.fails:
            raise ServiceUnavailable("pay")
        return f"prepay-{order.number}"

    def payment_call(self, order: Order, prepay_id: str, session_key: str = "") -> dict[str, str]:
        return {"order": order.number, "prepay_id": prepay_id, "key": session_key}


class RechargeFixture:
    """One user and the recharge services of two processes, with one provider."""

    def __init__(self, stores: StoresFixture, user: User) -> None:
        self.stores, self.user = stores, user
        self.provider = FakeProvider()
        self.processes = [self._service("jsapi") for _ in range(2)]
        self.with_session_key = self._service("xpay")

    async def block(self, fen: int = 600) -> int:
        return int((await self.stores.blocks.add(gold=60, fen=fen))["id"])

    async def order(self, block_id: int, process: int = 0, platform: str = "") -> str:
        """The number of the order that is answered."""
        prepared = await self.processes[process].order(self.user, block_id, platform)
        return str(json.loads(prepared.content)["order"])

    def _service(self, provider: Literal["jsapi", "xpay"]) -> RechargeService:
        return RechargeService(
            self.stores,
            {"jsapi": self.provider, "xpay": self.provider},  # type: ignore[dict-item]
            NamedLocks().lock,
            PaySettings(provider=provider, content_key="content"),
        )


@pytest.fixture
def recharge(stores: StoresFixture, io_loop: Any) -> RechargeFixture:
    user, _ = io_loop.run_sync(lambda: stores.users.create("wx1", "o1"))
    return RechargeFixture(stores, user)


async def test_orders_of_a_block_in_two_processes_are_one(recharge: RechargeFixture) -> None:
    block_id = await recharge.block()
    numbers = await asyncio.gather(*(recharge.order(block_id, n % 2) for n in range(20)))
    assert len(set(numbers)) == 1
    assert await recharge.stores.database.collection("orders").count_documents({}) == 1
    assert len(recharge.provider.registered) <= 2, "one call of each process"


async def test_a_repeated_order_keeps_the_latest_platform_that_was_named(
    recharge: RechargeFixture,
) -> None:
    block_id, platforms = await recharge.block(), list[str]()
    for platform in ("", "ios", "", "ohos"):
        order = await recharge.stores.orders.find(await recharge.order(block_id, platform=platform))
        assert order
        platforms.append(order.platform)
    assert platforms == ["", "ios", "ios", "ohos"]


async def test_open_orders_of_two_processes_stay_within_the_limit(
    recharge: RechargeFixture,
) -> None:
    blocks = [await recharge.block(fen) for fen in range(100, 100 + MAX_OPEN_ORDERS + 2)]
    orders = [recharge.order(block_id, n % 2) for n, block_id in enumerate(blocks * 2)]
    results = await asyncio.gather(*orders, return_exceptions=True)
    assert {type(result) for result in results} == {str, TooManyOrders}
    assert len({result for result in results if isinstance(result, str)}) == MAX_OPEN_ORDERS
    stored = recharge.stores.database.collection("orders")
    assert await stored.count_documents({}) == MAX_OPEN_ORDERS


async def test_a_failed_registration_is_repeated_for_the_same_order(
    recharge: RechargeFixture,
) -> None:
    block_id = await recharge.block()
    recharge.provider.fails = True
    with pytest.raises(ServiceUnavailable):
        await recharge.order(block_id)
    recharge.provider.fails = False
    number = await recharge.order(block_id, process=1)
    (first, ends), (second, ends_again) = recharge.provider.registered
    assert first == second == number
    # WeChat Pay refuses a repeated order that differs; it gets whole seconds.
    assert ends.replace(microsecond=0) == ends_again.replace(microsecond=0)


async def test_a_repeated_order_is_signed_with_the_latest_session_key(
    recharge: RechargeFixture,
) -> None:
    block_id, calls = await recharge.block(), []
    for key in ("first", "second"):
        await recharge.stores.users.store_session_key(recharge.user.user_id, key)
        prepared = await recharge.with_session_key.order(recharge.user, block_id)
        calls.append(json.loads(prepared.content))
    assert [call["key"] for call in calls] == ["first", "second"]
    assert calls[0]["order"] == calls[1]["order"]
