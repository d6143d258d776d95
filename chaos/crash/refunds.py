"""Users who give what they bought away, and the refund cases of their orders."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

from chaos.crash.environment import SETTLE_SECONDS, CrashEnvironment
from chaos.crash.marked_sweeps import DUE, NEVER, WECHAT_SECONDS
from chaos.crash.orders import delivery_push, pay_jsapi_order, pay_xpay_order
from chaos.crash.withdrawals import Withdrawals
from devtools.simulator import refunds as simulated_refunds
from devtools.simulator import transfers as simulated_transfers
from devtools.simulator.refunds import SimulatedRefund
from tests.support.client import UserClient
from tests.support.waiting import until

CANDY_ID, CANDIES = 2, 12
"""Each gift is of 60 gold, all that an order brings, and 30 income."""
NOT_REQUESTED = {"orders": {"$elemMatch": {"state": {"$ne": "requested"}}}}
"""Cases with a refund that was not requested from the provider yet."""
RESERVED_INCOME = 20
"""More than the host of the newest gift can miss, but for the income of this withdrawal."""


class RefundCases:
    """All refund cases of a run, each of one order of either provider."""

    def __init__(self, env: CrashEnvironment, withdrawals: Withdrawals) -> None:
        self.env = env
        self._withdrawals = withdrawals
        self._number = 0
        self._rich_host: UserClient | None = None
        # The simulated WeChat cancels and refunds at once, and does not notify the server of it.
        transfers: Any = simulated_transfers
        refunds: Any = simulated_refunds
        transfers.CANCEL_SECONDS = refunds.REFUND_SECONDS = WECHAT_SECONDS / 3
        env.simulator.refunds.mode = env.simulator.transfers.close_mode = "never"

    async def opened(self) -> str:
        """Open a case with two gifts; the host of the newer one has an open withdrawal."""
        self._number += 1
        number = self._number
        self._rich_host = self._rich_host or await self._withdrawals.next_payee()
        minor = await self.env.create_user(f"minor-{number}", 1)
        host = await self.env.create_user(f"host-{number}", 2)
        orders = [await pay_jsapi_order(self.env, minor, "once"), await self._xpay_order(minor)]
        for receiver in (self._rich_host, host):
            gift: Any = {"gift_id": CANDY_ID, "num": CANDIES, "request_id": f"to-{receiver.id}"}
            response = await minor.get("qlive_gift/push_gift/", user_id=receiver.id, **gift)
            assert response.json["status"] == "success", response
        await self._withdrawals.request(host, RESERVED_INCOME)
        case = {"user_id": minor.id, "orders": orders, "reason": "chaos"}
        opened = await self.env.ops_request("POST", "refunds", request_id=f"case-{number}", **case)
        id_: str = opened.json["id"]
        return id_

    async def confirmed(self) -> str:
        """Return the id of a confirmed case, which no sweep continues yet."""
        id_ = await self.opened()
        await self.env.ops_request("POST", f"refunds/{id_}/confirm", reason="chaos")
        await self._set_due([id_], NEVER)
        return id_

    async def refund(self, provider: str) -> SimulatedRefund:
        """Return the refund at `provider`, for whose callback a case waits; needs sweeps."""
        refunds = self.env.simulator.refunds
        refunds.outcome = "held"
        id_ = await self.opened()
        await self.env.ops_request("POST", f"refunds/{id_}/confirm", reason="chaos")

        async def is_requested() -> bool:
            await self._set_due([id_])
            await asyncio.sleep(WECHAT_SECONDS)
            return not await self.env.rows("refund_cases", {"_id": id_, **NOT_REQUESTED})

        await until(is_requested, SETTLE_SECONDS)
        await self._set_due([id_], NEVER)
        refunds.outcome = "success"
        [case] = await self.env.rows("refund_cases", {"_id": id_})
        numbers = {order["provider"]: order["refund"] for order in case["orders"]}
        refund = refunds.refunds[numbers[provider]]
        refund.state = "done"
        return refund

    async def make_due(self, ids: list[str]) -> list[str]:
        """Make those due that are not closed, one or two steps from their end; returns them."""
        rows = await self.env.rows(
            "refund_cases", {"_id": {"$in": ids}, "state": {"$ne": "closed"}}
        )
        left = [row["_id"] for row in rows]
        await self._set_due(left)
        return left

    async def finish(self) -> None:
        """Have every case closed, on a server that does not crash.

        Callbacks of refunds that have long been known change nothing any more.
        """
        self.env.simulator.refunds.mode = self.env.simulator.transfers.close_mode = "twice"
        await self._notify_all()
        for row in await self.env.rows("refund_cases", {"state": "opened"}):
            await self.env.ops_request("POST", f"refunds/{row['_id']}/confirm", reason="chaos")
        ids = [row["_id"] for row in await self.env.rows("refund_cases")]
        await self.env.wait_until_none(partial(self.make_due, ids), "refund_cases_unsettled")
        await self._notify_all()

    async def _set_due(self, ids: list[str], at: datetime = DUE) -> None:
        await self.env.set_due("refund_cases", {"_id": {"$in": ids}}, at)

    async def _notify_all(self) -> None:
        """WeChat ends the refunds that it holds, and notifies of all."""
        for number in [*self.env.simulator.refunds.refunds]:
            await self.env.simulate("/refund/end", refund=number, report="once")
            await self.env.simulator.delivery.quiet()

    async def _xpay_order(self, buyer: UserClient) -> str:
        env, number = self.env, await pay_xpay_order(self.env, buyer)
        env.simulator.delivery.start(delivery_push(env, number), "once")
        await env.simulator.delivery.quiet()
        # A sweep that claims it would at times be in the way of its refund, by one more attempt.
        await env.set_due("orders", {"_id": number}, NEVER)
        return number
