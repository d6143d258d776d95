"""Orders of virtual payment, paid at the simulator, for servers that sell over WeChat Pay."""

from devtools.simulator.notifications import SimulatedNotification
from devtools.simulator.simulator import Simulator
from ledger.recharge import Order
from storage.database import Database
from storage.orders import OrderStore, new_number
from tests.support.client import BASE

GOLD, FEN, PRODUCT = 60, 600, "gold_60"
BLOCK_ID, SLOT = 2, 1
"""Not those of the orders that the servers make of the first block."""


async def add_paid_order(database: Database, simulator: Simulator, user_id: str) -> str:
    """Store an order of a user, who has paid it; returns its number."""
    row, number = await database.collection("users").find_one({"_id": user_id}), new_number()
    assert row
    order = Order(number, user_id, "xpay", row["app_id"], row["openid"], PRODUCT, FEN, GOLD)
    await OrderStore(database).add(order, BLOCK_ID, SLOT)
    purchase = {"outTradeNo": number, "productId": PRODUCT, "buyQuantity": 1, "goodsPrice": FEN}
    simulator.xpay.take(purchase, order.openid)
    return number


def delivery_push(simulator: Simulator, number: str, server: str) -> SimulatedNotification:
    """The push that has the server at this address credit the order."""
    content = simulator.xpay.delivery(simulator.xpay.orders[number])
    return simulator.pushes.report(content, "once", push_address(server))


def push_address(server: str) -> str:
    return f"{server}{BASE}qlive_pay/xpay_notify/"
