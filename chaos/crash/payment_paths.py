"""The paths of a payment: WeChat Pay's notification, and the server's own order sweep."""

import asyncio
import json
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from chaos.crash.crash_points import DUE
from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from chaos.http_client import BASE
from devtools.simulator.reports import SimulatedNotification, SimulatedNotifications
from devtools.simulator.wire import SimulatorRequest

STOCK = 50
BLOCK_ID = 1
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
"""`due_at` of orders that the sweep must not process yet."""
SETTLE_SECONDS = 60.0


class PaidOrders:
    """Paid orders of one buyer, of which the server has not been notified."""

    def __init__(self, env: CrashEnvironment, buyer: EnvironmentUser) -> None:
        self.env, self.buyer = env, buyer
        self.taken: list[str] = []
        """Numbers of the orders that must be credited, in order."""
        self._stock: deque[str] = deque()
        self._orders = env.database.collection("orders")

    async def take(self) -> str:
        """Returns the number of the next paid order."""
        if not self._stock:
            async with self.env.stable_server():
                await self._refill()
        self.taken.append(self._stock.popleft())
        return self.taken[-1]

    async def make_due(self, number: str, at: datetime = DUE) -> None:
        """Set `due_at`, unless the order is settled.

        Waits long, since a dead server's transaction may hold the order until MongoDB aborts it.
        """
        due = {"_id": number, "due_at": {"$ne": None}}
        with self.env.database.slow_operation_timeout():
            await self._orders.update_one(due, {"$set": {"due_at": at}})

    async def unsettled(self) -> int:
        """Number of taken orders that still have to be processed."""
        due = {"_id": {"$in": self.taken}, "due_at": {"$ne": None}}
        return await self._orders.count_documents(due)

    async def _refill(self) -> None:
        for _ in range(STOCK):  # one after the other: at once they would be the same order
            self._stock.append(await self._order())

    async def _order(self) -> str:
        created = await self.buyer.post("qlive_pay/", block_id=BLOCK_ID)
        params = {"content": created.json["content"], "report": "never"}
        body = json.dumps(params).encode()
        paid = await self.env.simulator.answer(SimulatorRequest("POST", "/phone/pay", {}, {}, body))
        number: str = json.loads(paid.body)["order"]
        await self.make_due(number, NEVER)
        # As for a credited order: the next request must create another one.
        await self._orders.update_one({"_id": number}, {"$unset": {"open_keys": ""}})
        return number


class NotificationPath:
    """Sends each notification, byte for byte the same, until it is acknowledged."""

    name = "notification"

    def __init__(self, orders: PaidOrders) -> None:
        settings, pay = orders.env.settings, orders.env.simulator.pay
        self._orders, self._env, self._pay = orders, orders.env, pay
        signed = orders.env.simulator.merchant_api.signed
        self._notifications = SimulatedNotifications(settings.pay.apiv3_key, signed, time.time)
        self.ids: list[str] = []
        self.acknowledged_at_once = 0
        self._next: SimulatedNotification | None = None
        self._pending: SimulatedNotification | None = None

    async def prepare(self) -> str:
        """Returns the id of the next notification."""
        number = await self._orders.take()
        address, paid = self._pay.orders[number]["notify_url"], self._pay.paid[number]
        self._next = self._notifications.report(address, "TRANSACTION.SUCCESS", paid, "once")
        self.ids.append(json.loads(self._next.body)["id"])
        return self.ids[-1]

    async def repair(self) -> None:
        if self._pending:
            await self._env.request("POST", self._path(self._pending), **_content(self._pending))
            self._pending = None

    async def attempt(self, target: str) -> None:  # noqa: ARG002 - it is in the notification
        assert self._next
        report, self._next = self._next, None
        response = await self._env.request_once("POST", self._path(report), **_content(report))
        if response.status == 204:
            self.acknowledged_at_once += 1
        else:
            self._pending = report

    async def settle(self) -> None:
        await self.repair()

    def _path(self, report: SimulatedNotification) -> str:
        assert report.address.startswith(self._env.address + BASE)
        return report.address.removeprefix(self._env.address)


class SweepPath:
    """The server polls the order by itself, and again once the order is due again."""

    name = "sweep"

    def __init__(self, orders: PaidOrders) -> None:
        self._orders = orders
        self._pending = ""

    async def prepare(self) -> str:
        """Returns the next order's number; makes the previous order due, as time would."""
        number = await self._orders.take()
        await self._make_due()
        return number

    async def repair(self) -> None:
        """Nothing to do: the server's first sweep repairs; see crash_points.py."""

    async def attempt(self, target: str) -> None:
        self._pending = target

    async def settle(self) -> None:
        await self._make_due()
        deadline = time.monotonic() + SETTLE_SECONDS
        while (count := await self._orders.unsettled()) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        if count:
            self._orders.env.violations.add("orders_unsettled", f"{count} orders")

    async def _make_due(self) -> None:
        if self._pending:
            await self._orders.make_due(self._pending)


def _content(report: SimulatedNotification) -> dict[str, Any]:
    return {"body": report.body, "headers": dict(report.headers)}
