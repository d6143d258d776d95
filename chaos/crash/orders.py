"""Orders of one buyer that are paid, of which the server has not been notified."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from chaos.crash.environment import CrashEnvironment
from chaos.crash.invariants import order_violations
from chaos.crash.marked_sweeps import DUE, NEVER
from chaos.crash.paths import Stock
from devtools.simulator.notifications import SimulatedNotification
from devtools.simulator.simulator import Simulator
from ledger.journal import user_account
from ledger.recharge import Order
from storage.database import Database
from storage.payments.orders import OrderStore, new_number
from tests.support.client import BASE, UserClient

BLOCK_ID = 1
SETTLE_SECONDS = 60.0
GOLD, FEN, PRODUCT = 60, 600, "gold_60"
BLOCK_ID, SLOT = 2, 1
"""Not those of the orders that the servers make of the first block."""


class PaidOrders:
    """Orders of one provider."""

    def __init__(
        self,
        env: CrashEnvironment,
        buyer_name: str,
        make: Callable[[CrashEnvironment, UserClient], Awaitable[str]],
        size: int,
    ) -> None:
        """`make` returns the number of a new order that the buyer has paid; `size`: how many are
        made at once."""
        self.env = env
        self.taken: list[str] = []
        """Numbers of the orders that must be credited, in order."""
        self._buyer_name, self._make = buyer_name, make
        self._buyer: UserClient | None = None
        self._stock = Stock(env, self._set_aside, size)
        self._orders = env.database.collection("orders")

    async def take(self) -> str:
        """Returns the number of the next paid order."""
        self.taken.append(await self._stock.take())
        return self.taken[-1]

    async def make_due(self, numbers: list[str]) -> list[str]:
        """Make those due that are not settled; none needs more than one sweep."""
        await self._set_due(numbers, DUE)
        return []

    async def settle(self) -> None:
        """Wait for the sweeps."""
        due = {"_id": {"$in": self.taken}, "due_at": {"$ne": None, "$lt": NEVER}}
        deadline = time.monotonic() + SETTLE_SECONDS
        while (count := await self._orders.count_documents(due)) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        if count:
            self.env.violations.add("orders_unsettled", f"{count} orders")

    async def check(self, prefix: str = "") -> dict[str, int]:
        """Add violations for orders that are not credited once; returns the metrics."""
        if self._buyer is None:
            return {}
        collection, id_ = self.env.database.collection, self._buyer.id
        rows = await collection("orders").find({"_id": {"$in": self.taken}}).to_list()
        recorded = {"kind": "recharge", "lines.account": user_account(id_)}
        recharges = await collection("ledger").find(recorded).to_list()
        buyer = await collection("users").find_one({"_id": id_}) or {}
        for kind, detail in order_violations(rows, recharges, buyer):
            self.env.violations.add(kind, detail)
        return {f"{prefix}orders": len(self.taken), f"{prefix}orders_credited": len(recharges)}

    async def _set_aside(self) -> str:
        """As a credited order: no sweep looks for it, and the next request makes another one."""
        if self._buyer is None:
            self._buyer = await self.env.create_user(self._buyer_name, 1)
        number = await self._make(self.env, self._buyer)
        await self._set_due([number], NEVER)
        await self._orders.update_one({"_id": number}, {"$unset": {"open_keys": ""}})
        return number

    async def _set_due(self, numbers: list[str], at: datetime) -> None:
        """Waits long, since a dead server's transaction may hold an order."""
        due = {"_id": {"$in": numbers}, "due_at": {"$ne": None}}
        with self.env.database.slow_operation_timeout():
            await self._orders.update_many(due, {"$set": {"due_at": at}})


async def pay_jsapi_order(env: CrashEnvironment, buyer: UserClient) -> str:
    """An order of WeChat Pay, which a notification or a sweep credits."""
    created = await buyer.post("qlive_pay/", block_id=BLOCK_ID)
    content = created.json["content"]
    paid = await env.simulate("/phone/pay", content=content, report="never")
    number: str = paid["order"]
    return number


async def pay_xpay_order(env: CrashEnvironment, buyer: UserClient) -> str:
    """An order of virtual payment, which a push credits."""
    return await add_paid_order(env.database, env.simulator, buyer.id)


async def next_notification(orders: PaidOrders) -> SimulatedNotification:
    """WeChat Pay's notification of the next order."""
    env, number = orders.env, await orders.take()
    pay, api = env.simulator.pay, env.simulator.merchant_api
    address, paid = pay.orders[number]["notify_url"], pay.paid[number]
    return api.notification(address, "TRANSACTION.SUCCESS", paid, "once")


async def next_push(orders: PaidOrders) -> SimulatedNotification:
    """The push that requests delivery of the next order."""
    return delivery_push(orders.env.simulator, await orders.take(), orders.env.address)


async def add_paid_order(database: Database, simulator: Simulator, user_id: str) -> str:
    """Store an order of a user, who has paid it; returns its number."""
    row, number = await database.collection("users").find_one({"_id": user_id}), new_number()
    assert row
    order = Order(number, user_id, "xpay", row["app_id"], row["openid"], PRODUCT, FEN, GOLD)
    await OrderStore(database).open(order, BLOCK_ID, SLOT)
    purchase = {"outTradeNo": number, "productId": PRODUCT, "buyQuantity": 1, "goodsPrice": FEN}
    simulator.xpay.take(purchase, order.openid)
    return number


def delivery_push(simulator: Simulator, number: str, server: str) -> SimulatedNotification:
    """The push that has the server at this address credit the order."""
    content = simulator.xpay.delivery(simulator.xpay.orders[number])
    return simulator.pushes.report(content, "once", push_address(server))


def push_address(server: str) -> str:
    return f"{server}{BASE}qlive_pay/xpay_notify/"
