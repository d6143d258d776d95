"""The paths of a payment: WeChat Pay reports it until it is answered, or the sweep asks for it."""

import asyncio
import json
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from chaos.crash.marks import DUE
from chaos.crash.town import Person, Town
from chaos.phones import BASE
from tencent.simulator.reports import Notices, Report
from tencent.simulator.wire import SimRequest

STOCK = 50
AT_ONCE = 8
BLOCK_ID = 1
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
"""When orders are due that the sweep is to leave alone for now."""
SETTLED_SECONDS = 60.0


class Till:
    """Orders of one person, all of them paid, which nobody has told the server."""

    def __init__(self, town: Town, buyer: Person) -> None:
        self.town, self.buyer = town, buyer
        self.taken: list[str] = []
        """The numbers of those that were to be credited, in this order."""
        self._stock: deque[str] = deque()
        self._orders = town.database.collection("orders")

    async def take(self) -> str:
        if not self._stock:
            async with self.town.peace():
                await self._fill()
        self.taken.append(self._stock.popleft())
        return self.taken[-1]

    async def make_due(self, number: str, at: datetime = DUE) -> None:
        """Unless nobody has to look after it any more. A dead server's transaction may hold it
        until MongoDB finds that out."""
        due = {"_id": number, "due_at": {"$ne": None}}
        with self.town.database.patiently():
            await self._orders.update_one(due, {"$set": {"due_at": at}})

    async def open(self) -> int:
        """How many of those taken somebody still has to look after."""
        due = {"_id": {"$in": self.taken}, "due_at": {"$ne": None}}
        return await self._orders.count_documents(due)

    async def _fill(self) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def order() -> str:
            async with limit:
                return await self._order()

        numbers = await asyncio.gather(*(order() for _ in range(STOCK)))
        self._stock.extend(numbers)

    async def _order(self) -> str:
        made = await self.buyer.post("qlive_pay/", block_id=BLOCK_ID)
        wish = {"content": made.json["content"], "report": "never"}
        body = json.dumps(wish).encode()
        paid = await self.town.simulator.answer(SimRequest("POST", "/phone/pay", {}, {}, body))
        number: str = json.loads(paid.body)["order"]
        await self.make_due(number, NEVER)
        return number


class Notifications:
    """Each one is sent as it is, byte for byte, until it is answered."""

    name = "notification"

    def __init__(self, till: Till) -> None:
        settings, pay = till.town.settings, till.town.simulator.pay
        self._till, self._town, self._pay = till, till.town, pay
        self._notices = Notices(settings.pay.apiv3_key, pay.signed, time.time)
        self.ids: list[str] = []
        self.answered_at_once = 0
        self._next: Report | None = None
        self._left: Report | None = None

    async def prepare(self) -> str:
        """The id of the next one."""
        number = await self._till.take()
        address, paid = self._pay.orders[number]["notify_url"], self._pay.paid[number]
        self._next = self._notices.report(address, "TRANSACTION.SUCCESS", paid, "once")
        self.ids.append(json.loads(self._next.body)["id"])
        return self.ids[-1]

    async def repeat(self) -> None:
        if self._left:
            await self._town.ask("POST", *self._sent(self._left), **self._said(self._left))
            self._left = None

    async def walk(self, target: str) -> None:  # noqa: ARG002 - it is in the report
        assert self._next
        report, self._next = self._next, None
        answer = await self._town.once("POST", *self._sent(report), **self._said(report))
        if answer.status == 204:
            self.answered_at_once += 1
        else:
            self._left = report

    async def settle(self) -> None:
        await self.repeat()

    def _sent(self, report: Report) -> tuple[str]:
        assert report.address.startswith(self._town.address + BASE)
        return (report.address.removeprefix(self._town.address),)

    def _said(self, report: Report) -> dict[str, Any]:
        return {"body": report.body, "headers": dict(report.headers)}


class Sweeps:
    """The server asks by itself, and asks again when the order's time has come again."""

    name = "sweep"

    def __init__(self, till: Till) -> None:
        self._till = till
        self._left = ""

    async def prepare(self) -> str:
        """The number of the next one; as if a minute had passed since the one before."""
        number = await self._till.take()
        await self._make_due()
        return number

    async def repeat(self) -> None:
        """That is the server's own business; see marks.py."""

    async def walk(self, target: str) -> None:
        self._left = target

    async def settle(self) -> None:
        await self._make_due()
        deadline = time.monotonic() + SETTLED_SECONDS
        while (count := await self._till.open()) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        if count:
            self._till.town.faults.add("unsettled", f"{count} orders")

    async def _make_due(self) -> None:
        if self._left:
            await self._till.make_due(self._left)
