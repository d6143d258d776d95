"""The paths of a payment: WeChat Pay's notification, and the server's own order sweep."""

import asyncio
import time
from collections import deque
from datetime import datetime

from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from chaos.crash.marked_sweeps import DUE, NEVER
from chaos.crash.notice_path import NoticePath
from devtools.simulator.notifications import SimulatedNotification

STOCK = 50
BLOCK_ID = 1
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
        content = created.json["content"]
        paid = await self.env.simulate("/phone/pay", content=content, report="never")
        number: str = paid["order"]
        await self.make_due(number, NEVER)
        # As for a credited order: the next request must create another one.
        await self._orders.update_one({"_id": number}, {"$unset": {"open_keys": ""}})
        return number


class NotificationPath(NoticePath):
    """Notifications of payments."""

    def __init__(self, orders: PaidOrders) -> None:
        pay, api = orders.env.simulator.pay, orders.env.simulator.merchant_api

        async def take() -> SimulatedNotification:
            number = await orders.take()
            address, paid = pay.orders[number]["notify_url"], pay.paid[number]
            return api.notification(address, "TRANSACTION.SUCCESS", paid, "once")

        super().__init__("notification", orders.env, take)


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
