"""Faults of orders, of their notifications, and of refunds at WeChat."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos.alert_faults.environment import PAST, AlertEnvironment, ago, none, some
from chaos.api import FleetUser
from chaos.xpay_orders import add_paid_order, delivery_push
from devtools.simulator.reports import post_notification

BLOCK_ID = 1
REJECTED = 4
"""Delivery notices; the alert needs three."""
UNQUERIED = "qlive_oldest_unpaid_order_seconds"
REFUSED = 'qlive_refund_problems{problem="NOT_ENOUGH"}'
REFUNDING = 'qlive_oldest_refund_seconds{state="refunding"}'


@asynccontextmanager
async def order_not_queried(env: AlertEnvironment) -> AsyncIterator[None]:
    """An order was made five hours ago, and no process asks WeChat Pay about it."""
    number, _ = await _order(env, await env.create_user("buyer"))
    later = datetime.now(UTC) + timedelta(hours=1)
    await env.set_fields("orders", {"_id": number}, created_at=ago(hours=5), due_at=later)
    await env.wait_for_metric(UNQUERIED, some(4 * 3600))
    yield
    await env.set_fields("orders", {"_id": number}, due_at=PAST)
    await env.wait_for("orders", {"_id": number, "state": "closed"})
    await env.wait_for_metric(UNQUERIED, none(4 * 3600))


@asynccontextmanager
async def notification_forged(env: AlertEnvironment) -> AsyncIterator[None]:
    """The order is credited by a query afterwards."""
    number, content = await _order(env, await env.create_user("buyer"))
    await env.simulate("/phone/pay", content=content, report="forged")
    await env.simulator.delivery.quiet()
    yield
    await env.set_fields("orders", {"_id": number}, due_at=PAST)
    await env.wait_for("orders", {"_id": number, "state": "paid"})


@asynccontextmanager
async def app_key_wrong(env: AlertEnvironment) -> AsyncIterator[None]:
    """WeChat has another key for virtual payment than our settings."""
    xpay, numbers = env.simulator.xpay, list[str]()
    app_key, xpay.app_key = xpay.app_key, "another key"
    buyer = await env.create_user("buyer")
    for _ in range(REJECTED):
        number = await add_paid_order(env.database, env.simulator, buyer.id)
        await post_notification(delivery_push(env.simulator, number, env.fleet.nodes[0].address))
        await env.wait_for("orders", {"_id": number, "asked": {"$gt": 0}})
        numbers.append(number)
    yield
    xpay.app_key = app_key
    for number in numbers:
        await env.set_fields("orders", {"_id": number}, due_at=PAST)
        await env.wait_for("orders", {"_id": number, "due_at": None})


@asynccontextmanager
async def refund_refused(env: AlertEnvironment) -> AsyncIterator[None]:
    """The merchant's account has too little money."""
    env.simulator.refunds.fault = "NOT_ENOUGH"
    id_ = await _confirmed_case(env)
    await env.wait_for_metric(REFUSED, some(1))
    yield
    await env.set_fields("refund_cases", {"_id": id_}, due_at=PAST)
    await env.wait_for("refund_cases", {"_id": id_, "state": "closed"})
    await env.wait_for_metric(REFUSED, none(1))


@asynccontextmanager
async def refund_unfinished(env: AlertEnvironment) -> AsyncIterator[None]:
    """WeChat Pay has taken the refund of a case that was confirmed four days ago."""
    env.simulator.refunds.outcome = "held"
    id_ = await _confirmed_case(env)
    await env.wait_for("refund_cases", {"_id": id_, "orders.0.state": "requested"})
    await env.set_fields("refund_cases", {"_id": id_}, decided_at=ago(days=4))
    await env.wait_for_metric(REFUNDING, some(3 * 86_400))
    yield
    env.simulator.refunds.outcome = "success"
    await env.simulate("/refund/end", refund=f"{id_}01")
    await env.wait_for("refund_cases", {"_id": id_, "state": "closed"})
    await env.wait_for_metric(REFUNDING, none(3 * 86_400))


async def _order(env: AlertEnvironment, buyer: FleetUser) -> tuple[str, str]:
    """The number of a new order, and the parameters with which the phone pays it."""
    created = await buyer.post("qlive_pay/", **_block())
    row = await env.wait_for("orders", {"user_id": buyer.id, "state": "created"})
    return row["_id"], created.json["content"]


async def _confirmed_case(env: AlertEnvironment) -> str:
    """The id of a refund case of one order, paid with WeChat Pay, of which nothing was spent."""
    buyer = await env.create_user("minor")
    number, content = await _order(env, buyer)
    await env.simulate("/phone/pay", content=content)
    await env.simulator.delivery.quiet()
    case = {"user_id": buyer.id, "orders": [number], "request_id": env.new_name("case")}
    opened = await env.run.api.ops_request("POST", "refunds", reason="chaos", **case)
    id_: str = opened.json["id"]
    await env.run.api.ops_request("POST", f"refunds/{id_}/confirm", reason="chaos")
    return id_


def _block() -> dict[str, Any]:
    return {"block_id": BLOCK_ID}
