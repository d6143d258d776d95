"""Orders of one buyer that are paid, of which the server has not been notified."""

from collections.abc import Awaitable, Callable

from tornado.httpclient import HTTPRequest

from chaos.crash.environment import CrashEnvironment
from chaos.crash.invariants import order_violations, payment_event_violations
from chaos.crash.marked_sweeps import NEVER
from chaos.crash.paths import PreparedTargets
from ledger.journal import user_account
from ledger.recharge import Order
from storage.documents import dated_id
from storage.payments.orders import OrderStore
from tests.support.client import BASE, UserClient

GOLD, FEN, PRODUCT = 60, 600, "gold_60"
JSAPI_BLOCK_ID, XPAY_BLOCK_ID, SLOT = 1, 2, 1
"""Orders of virtual payment are not those that the servers make of the first block."""


class PaidOrders:
    """Orders of one provider."""

    def __init__(
        self,
        env: CrashEnvironment,
        buyer_name: str,
        make: Callable[[CrashEnvironment, UserClient], Awaitable[str]],
        size: int,
    ) -> None:
        """Have `make` return numbers of new orders that the buyer has paid, `size` at once."""
        self.env = env
        self.taken: list[str] = []
        """Numbers of the orders that must be credited, in order."""
        self._buyer_name, self._make = buyer_name, make
        self._buyer: UserClient | None = None
        self._prepared = PreparedTargets(env, self._set_aside, size)

    async def take(self) -> str:
        """Return the number of the next paid order."""
        self.taken.append(await self._prepared.take())
        return self.taken[-1]

    async def make_due(self, numbers: list[str]) -> list[str]:
        """Make those due that are not credited; none needs more than one sweep."""
        await self.env.set_due("orders", {"_id": {"$in": numbers}})
        return []

    async def finish(self) -> None:
        """Wait for the sweeps."""
        due = {"_id": {"$in": self.taken}, "due_at": {"$ne": None, "$lt": NEVER}}
        orders = self.env.database.collection("orders")
        await self.env.wait_until_none(lambda: orders.count_documents(due), "orders_unsettled")

    async def check(self, prefix: str = "") -> dict[str, int]:
        """Add violations for orders that are not credited once; returns the metrics."""
        if self._buyer is None:
            return {}
        id_ = self._buyer.id
        orders = await self.env.rows("orders", {"_id": {"$in": self.taken}})
        recorded = {"kind": "recharge", "lines.account": user_account(id_)}
        recharges = await self.env.rows("ledger", recorded)
        [buyer] = await self.env.rows("users", {"_id": id_})
        self.env.violations.add_all(order_violations(orders, recharges, buyer))
        [channel] = await self.env.rows("user_channels", {"_id": id_})
        self.env.violations.add_all(payment_event_violations(recharges, channel))
        return {f"{prefix}orders": len(self.taken), f"{prefix}orders_credited": len(recharges)}

    async def _set_aside(self) -> str:
        """As a credited order: no sweep looks for it, and the next request makes another one."""
        if self._buyer is None:
            self._buyer = await self.env.create_user(self._buyer_name, 1)
        number = await self._make(self.env, self._buyer)
        await self.env.set_due("orders", {"_id": number}, NEVER)
        orders = self.env.database.collection("orders")
        await orders.update_one({"_id": number}, {"$unset": {"open_keys": ""}})
        return number


async def pay_jsapi_order(env: CrashEnvironment, buyer: UserClient, report: str = "never") -> str:
    """Pay an order of WeChat Pay, which a notification or a sweep credits."""
    created = await buyer.post("qlive_pay/", block_id=JSAPI_BLOCK_ID)
    paid = await env.simulate("/phone/pay", content=created.json["content"], report=report)
    number: str = paid["order"]
    return number


async def pay_xpay_order(env: CrashEnvironment, buyer: UserClient) -> str:
    """Pay an order of virtual payment, which a push credits."""
    [row] = await env.rows("users", {"_id": buyer.id})
    number, openid = dated_id("Q"), row["openid"]
    order = Order(number, buyer.id, "xpay", row["app_id"], openid, PRODUCT, FEN, GOLD)
    await OrderStore(env.database).open(order, XPAY_BLOCK_ID, SLOT)
    purchase = {"outTradeNo": number, "productId": PRODUCT, "buyQuantity": 1, "goodsPrice": FEN}
    env.simulator.xpay.take(purchase, openid)
    return number


def payment_notification(env: CrashEnvironment, number: str) -> HTTPRequest:
    """WeChat Pay's notification of an order."""
    pay, api = env.simulator.pay, env.simulator.merchant_api
    address, paid = pay.orders[number]["notify_url"], pay.paid[number]
    return api.notification(address, "TRANSACTION.SUCCESS", paid, "once")


def delivery_push(env: CrashEnvironment, number: str) -> HTTPRequest:
    """Return the push that requests delivery of an order of virtual payment."""
    content = env.simulator.xpay.delivery(env.simulator.xpay.orders[number])
    address = f"{env.address}{BASE}qlive_pay/xpay_notify/"
    return env.simulator.pushes.report(content, "once", address)
