"""Orders for gold, and their payment through the simulator."""

from typing import Any

import pytest
from pymongo.database import Database

from devtools.simulator.notifications import SentEvent, SimulatedPlatformEvents
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture

both_providers = pytest.mark.parametrize(
    "changes",
    [{"pay": {"provider": "jsapi"}}, {"pay": {"provider": "xpay"}}],
    ids=["jsapi", "xpay"],
)
"""Runs a test with each payment provider for new orders; without, it is jsapi."""
BLOCKS = {1: 60, 2: 300, 3: 980, 4: 2980}
"""The gold of the recharge blocks that a new server has, by id."""


async def create_order(client: ApiClient, block_id: int = 1) -> str:
    """The content of an order for a block; the first is 60 gold for 6 yuan."""
    return str((await client.post("qlive_pay/", block_id=block_id)).ok()["content"])


async def pay_order(api: ApiFixture, content: str, report: str = "once") -> dict[str, Any]:
    """Pay an order; `report` selects the notifications that the simulator sends for it."""
    body = {"content": content, "report": report}
    return (await api.request("POST", "/sim/phone/pay", json=body)).ok()


async def notification_statuses(server: ServerProcess) -> list[int]:
    """Wait for all notifications sent so far; the HTTP statuses that the server returned."""
    delivery = server.simulator.delivery
    await delivery.quiet()
    return list(delivery.statuses)


def gold_of(db: Database[dict[str, Any]], client: ApiClient) -> int:
    """The gold of the user in the database."""
    return db.users.find_one({"_id": client.id})["gold"]


def event_sender(server: ServerProcess) -> SimulatedPlatformEvents:
    """The simulator's sender of events."""
    return server.simulator.platform_events


async def send_event(
    api: ApiFixture,
    wechat: SimulatedPlatformEvents,
    event: str,
    report: str = "once",
    **params: Any,
) -> list[SentEvent]:
    """Have the simulator send an event; its deliveries."""
    wechat.sent.clear()
    body = {"event": event, "report": report, **params}
    (await api.request("POST", "/sim/wechat_event", json=body)).ok()
    await wechat.delivery.quiet()
    return list(wechat.sent)
