"""Users who give what they bought away, and the refund cases of their orders."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from chaos.crash.environment import CrashEnvironment
from chaos.crash.marked_sweeps import DUE, NEVER, WECHAT_SECONDS
from chaos.crash.orders import add_paid_order, delivery_push
from chaos.crash.withdrawals import SETTLE_SECONDS, Withdrawals
from devtools.simulator import refunds as simulated_refunds
from devtools.simulator import transfers as simulated_transfers
from devtools.simulator.notifications import SimulatedNotification
from devtools.simulator.refunds import SimulatedRefund
from tests.support.client import UserClient

CANDY_ID, CANDIES = 2, 12
"""Each gift is of 60 gold, all that an order brings, and 30 income."""
NOT_REQUESTED = {"orders": {"$elemMatch": {"state": {"$ne": "requested"}}}}
"""Cases with a refund that was not requested from the provider yet."""
HELD_INCOME = 20
"""More than the host of the newest gift can miss, but for the income of this withdrawal."""


class RefundCases:
    """All refund cases of a run, each of one order of either provider."""

    def __init__(self, env: CrashEnvironment, withdrawals: Withdrawals) -> None:
        self.env = env
        self._withdrawals = withdrawals
        self._cases = env.database.collection("refund_cases")
        self._number = 0
        self._host: UserClient | None = None
        _hurry(env)

    async def opened(self) -> str:
        """The id of a case with two gifts; the host of the newer one has an open withdrawal."""
        self._number += 1
        number, free_host = self._number, await self._free_host()
        minor = await self.env.create_user(f"minor-{number}", 1)
        host = await self.env.create_user(f"host-{number}", 2)
        orders = [await self._jsapi_order(minor), await self._xpay_order(minor)]
        for receiver in (free_host, host):
            await self._give(minor, receiver)
        await self._withdrawals.hold(host, HELD_INCOME)
        opened = await self.env.ops_request(
            "POST",
            "refunds",
            user_id=minor.id,
            orders=orders,
            reason="chaos",
            request_id=f"case-{number}",
        )
        id_: str = opened.json["id"]
        return id_

    async def confirmed(self) -> str:
        """The id of a confirmed case, which no sweep carries on yet."""
        id_ = await self.opened()
        await self.env.ops_request("POST", f"refunds/{id_}/confirm", reason="chaos")
        await self.make_due([id_], NEVER)
        return id_

    async def refund(self, provider: str) -> SimulatedRefund:
        """The refund at `provider`, for whose notice a case waits; needs sweeps."""
        refunds = self.env.simulator.refunds
        refunds.outcome = "held"
        id_ = await self.opened()
        await self.env.ops_request("POST", f"refunds/{id_}/confirm", reason="chaos")
        deadline = time.monotonic() + SETTLE_SECONDS
        while await self._cases.count_documents({"_id": id_, **NOT_REQUESTED}):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no refund is requested: {await self._cases.find_one(id_)}")
            await self.make_due([id_])
            await asyncio.sleep(WECHAT_SECONDS)
        await self.make_due([id_], NEVER)
        refunds.outcome = "success"
        case = await self._cases.find_one({"_id": id_})
        assert case
        numbers = {order["provider"]: order["refund"] for order in case["orders"]}
        refund = refunds.refunds[numbers[provider]]
        refund.state = "done"
        return refund

    async def make_due(self, ids: list[str], at: Any = DUE) -> None:
        """Set `due_at` of those in progress; waits long, as for withdrawals."""
        due = {"_id": {"$in": ids}, "due_at": {"$ne": None}}
        with self.env.database.slow_operation_timeout():
            await self._cases.update_many(due, {"$set": {"due_at": at}})

    def notices(self, take: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """Function that finishes the next refund and returns its notice, not sent yet."""

        async def take_notice() -> SimulatedNotification:
            refund = await take()
            notice: SimulatedNotification = refund.finish(refund, "once")
            return notice

        return take_notice

    async def run_step(self, ids: list[str]) -> list[str]:
        """Make those due that are not closed, one or two steps from their end; returns them."""
        left = await self.unfinished(ids)
        await self.make_due(left)
        return left

    async def unfinished(self, ids: list[str]) -> list[str]:
        """The cases that are not closed."""
        rows = await self._cases.find({"_id": {"$in": ids}, "state": {"$ne": "closed"}}).to_list()
        return [row["_id"] for row in rows]

    async def settle(self) -> None:
        """Have every case closed, on a server that does not crash.

        Notices of refunds that are known for long change nothing any more.
        """
        self.env.simulator.refunds.mode = self.env.simulator.transfers.close_mode = "twice"
        await self._notify_all()
        for row in await self._cases.find({"state": "opened"}).to_list():
            await self.env.ops_request("POST", f"refunds/{row['_id']}/confirm", reason="chaos")
        ids = [row["_id"] for row in await self._cases.find({}, {"_id": 1}).to_list()]
        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := await self.unfinished(ids)) and time.monotonic() < deadline:
            await self.make_due(left)
            await asyncio.sleep(0.2)
        if left:
            self.env.violations.add("refund_cases_unsettled", f"{len(left)}: {left[:3]}")
        await self._notify_all()

    async def _notify_all(self) -> None:
        """WeChat ends the refunds that it holds, and notifies of all."""
        for number in [*self.env.simulator.refunds.refunds]:
            await self.env.simulate("/refund/end", refund=number, report="once")
            await self.env.simulator.delivery.quiet()

    # ---- what precedes a case

    async def _free_host(self) -> UserClient:
        """A host with much income."""
        if self._host is None:
            self._host = await self._withdrawals.payees.next()
        return self._host

    async def _give(self, giver: UserClient, receiver: UserClient) -> None:
        gift = {"gift_id": CANDY_ID, "num": CANDIES, "request_id": f"to-{receiver.id}"}
        response = await giver.get("qlive_gift/push_gift/", user_id=receiver.id, **gift)
        assert response.json["status"] == "success", response

    async def _jsapi_order(self, buyer: UserClient) -> str:
        created = await buyer.post("qlive_pay/", block_id=1)
        paid = await self.env.simulate("/phone/pay", content=created.json["content"])
        await self.env.simulator.delivery.quiet()
        number: str = paid["order"]
        return number

    async def _xpay_order(self, buyer: UserClient) -> str:
        env, simulator = self.env, self.env.simulator
        number = await add_paid_order(env.database, simulator, buyer.id)
        simulator.delivery.start(delivery_push(simulator, number, env.address), "once")
        await simulator.delivery.quiet()
        # A sweep that claims it would at times be in the way of its refund, by one more attempt.
        orders = env.database.collection("orders")
        await orders.update_one({"_id": number}, {"$set": {"due_at": NEVER}})
        return number


def _hurry(env: CrashEnvironment) -> None:
    """Simulated WeChat cancels and refunds at once, and does not notify the server of it."""
    transfers: Any = simulated_transfers
    refunds: Any = simulated_refunds
    transfers.CANCEL_SECONDS = refunds.REFUND_SECONDS = WECHAT_SECONDS / 3
    env.simulator.refunds.mode = env.simulator.transfers.close_mode = "never"
