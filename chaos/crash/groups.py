"""The table of all paths, by what they share: users, and the checks after the crashes."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Protocol

from chaos.crash.data_requests import Leavers
from chaos.crash.environment import CrashEnvironment
from chaos.crash.gifts import REPEATS, Gifts, RoomEvents
from chaos.crash.invariants import check_gifts
from chaos.crash.money_invariants import check_money_invariants
from chaos.crash.orders import (
    PaidOrders,
    next_notification,
    next_push,
    pay_jsapi_order,
    pay_xpay_order,
)
from chaos.crash.paths import (
    CrashPath,
    RequestPath,
    Stock,
    SweepPath,
    Take,
    decision_path,
    notice_path,
)
from chaos.crash.refunds import RefundCases
from chaos.crash.withdrawals import STOCK, Withdrawals
from chaos.run import GOLD
from tencent.notifications import JSAPI
from tencent.xpay import PROVIDER as XPAY
from tests.support.client import UserClient
from tests.support.waiting import until

ORDERS = 50
GIFT_PATHS = ("gift", "gift_outside", "notification", "sweep")
MONEY_PATHS = (
    *("withdrawal", "withdrawal_approve", "withdrawal_decline", "transfer_notice"),
    *("transfer_return", "transfer_submit", "transfer_query", "transfer_resend"),
    *("transfer_cancel", "xpay_delivery", "refund_confirm", "refund_case", "refund_notice"),
    "xpay_refund_push",
)
BILLS, DELETION = "bills", "deletion"
PATHS = (*GIFT_PATHS, *MONEY_PATHS, BILLS, DELETION)


class PathGroup(Protocol):
    """`paths` are all of the group, of which a run may leave some out."""

    paths: Sequence[CrashPath]

    async def settle(self) -> None:
        """Complete what the paths have in common, on a server that does not crash."""

    async def check(self) -> dict[str, int]:
        """Add violated invariants to the violations; returns the metrics."""


class GiftGroup:
    """Gifts and payments."""

    def __init__(self, env: CrashEnvironment, host: UserClient, givers: Sequence[UserClient]):
        """The first of the givers is in the live room of the host."""
        inside, outside = givers
        self._env = env
        self.events = RoomEvents(env, host.live_id)
        self.inside = Gifts(env, "gift", inside, host, self.events)
        self.outside = Gifts(env, "gift_outside", outside, inside)
        self.orders = orders = PaidOrders(env, "buyer", pay_jsapi_order, ORDERS)
        self.notifications = notice_path("notification", env, lambda: next_notification(orders))
        self.paths: list[CrashPath] = [
            self.inside.path,
            self.outside.path,
            self.notifications,
            SweepPath("sweep", orders.take, orders.make_due),
        ]

    async def settle(self) -> None:
        await self.orders.settle()
        await self.events.collect()

    async def check(self) -> dict[str, int]:
        found = await check_gifts(self._env, (self.inside, self.outside), self.events)
        done = {"source": JSAPI, "outcome": "done"}
        return {
            **found,
            **await self.orders.check(),
            "notifications": self.notifications.attempts,
            "notifications_done": await self._env.database.collection("inbox").count_documents(
                done
            ),
        }


class MoneyGroup:
    """Withdrawals, virtual payment and refund cases."""

    def __init__(self, env: CrashEnvironment, stock: int = STOCK) -> None:
        """`stock`: targets of a path that are prepared at once."""
        self._env = env
        self.withdrawals = made = Withdrawals(env)
        self.cases = cases = RefundCases(env, made)
        self.orders = PaidOrders(env, "buyer of virtual payment", pay_xpay_order, stock)

        def of(make: Take, server: str = "no_sweeps") -> Take:
            return Stock(env, make, stock, server).take

        self.paths: list[CrashPath] = [
            RequestPath(
                "withdrawal",
                env,
                of(made.new_request),
                made.send_request,
                record=made.record_request,
                before_repair=made.make_request_due,
                repeats=REPEATS,
            ),
            decision_path(
                "withdrawal_approve",
                env,
                of(made.requested),
                "withdrawals/{}/approve",
                ("requested",),
            ),
            decision_path(
                "withdrawal_decline",
                env,
                of(made.requested),
                "withdrawals/{}/decline",
                ("requested",),
                made.cancelled.append,
            ),
            notice_path("transfer_notice", env, made.notices(of(made.confirmed))),
            notice_path("transfer_return", env, made.notices(of(made.failed))),
            SweepPath("transfer_submit", of(made.approved), made.make_due),
            SweepPath("transfer_query", of(made.confirmed), made.make_due),
            SweepPath("transfer_resend", of(made.not_taken), made.make_due),
            RequestPath(
                "transfer_cancel",
                env,
                of(made.awaiting_payee),
                made.send_cancel,
                record=made.record_cancel,
            ),
            notice_path("xpay_delivery", env, lambda: next_push(self.orders)),
            decision_path(
                "refund_confirm", env, of(cases.opened), "refunds/{}/confirm", ("opened", "dropped")
            ),
            SweepPath("refund_case", of(cases.confirmed), cases.run_step),
            notice_path(
                "refund_notice", env, cases.notices(of(lambda: cases.refund(JSAPI), "fast_sweeps"))
            ),
            notice_path(
                "xpay_refund_push",
                env,
                cases.notices(of(lambda: cases.refund(XPAY), "fast_sweeps")),
            ),
        ]

    async def settle(self) -> None:
        await self.cases.settle()
        await self.withdrawals.settle()

    async def check(self) -> dict[str, int]:
        deliveries = await self.orders.check("xpay_")
        return deliveries | await check_money_invariants(self._env, self.withdrawals)


class BillGroup:
    """Bills, each of a day with one payment of which the server was not notified."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env
        self._day = date(2020, 1, 1)  # long before the orders that wait for their turn
        self.orders = PaidOrders(env, "buyer without notifications", pay_jsapi_order, ORDERS)
        self.paths: list[CrashPath] = [SweepPath(BILLS, self._next_day, _none_left)]

    async def settle(self) -> None:
        """A sweep credits the order of the last day, whose bill no other server compares."""
        await self.orders.make_due(self.orders.taken[-1:])
        await self.orders.settle()

    async def check(self) -> dict[str, int]:
        rows = self._env.database.collection
        where = {"state": "open", "bill": {"$not": re.compile(str(self._day))}}
        for row in await rows("bill_differences").find(where).to_list():
            self._env.violations.add("bill_difference", str(row))
        done = await rows("bills").count_documents({"type": "trade", "state": "done"})
        before = max(0, len(self.orders.taken) - 1)
        found = {"bills_done": done, "billed_orders_before": before}
        return found | await self.orders.check("billed_")

    async def _next_day(self) -> str:
        number, self._day = await self.orders.take(), self._day + timedelta(days=1)
        paid_at = f"{self._day}T12:00:00+08:00"
        self._env.simulator.pay.paid[number]["success_time"] = paid_at
        return str(self._day)


async def _none_left(_days: list[str]) -> list[str]:
    """The next server first completes the day before its own."""
    return []


class DeletionGroup:
    """Users who are deleted."""

    def __init__(self, env: CrashEnvironment, stock: int = STOCK) -> None:
        self._leavers = leavers = Leavers(env)
        take = Stock(env, leavers.planned, stock).take
        self.paths: list[CrashPath] = [SweepPath(DELETION, take, leavers.run_step)]

    async def settle(self) -> None:
        await self._leavers.settle()

    async def check(self) -> dict[str, int]:
        return await self._leavers.check()


async def create_groups(env: CrashEnvironment, names: set[str]) -> list[PathGroup]:
    """The groups that have one of the paths `names`."""
    groups: list[PathGroup] = []
    if not names.isdisjoint(GIFT_PATHS):
        groups.append(await create_gift_group(env))
    if not names.isdisjoint(MONEY_PATHS):
        groups.append(MoneyGroup(env))
    if BILLS in names:
        groups.append(BillGroup(env))
    if DELETION in names:
        groups.append(DeletionGroup(env))
    return groups


async def create_gift_group(env: CrashEnvironment) -> GiftGroup:
    """Create a host whose room is live, a giver in it and one outside of it."""
    async with env.stable_server():
        host = await env.create_user("host", 2)
        await env.ops_request("PATCH", f"users/{host.id}", is_matchmaker=True)
        host.live_id = (await host.post("qlive_room/matchmaker_enter/")).json["live_id"]
        givers = [await _create_giver(env, name) for name in ("inside", "outside")]
        await givers[0].get("get_playurl/", live_id=host.live_id)
        # Later the messages about new users would change the room beside the gifts.
        await until(env.is_delivered)
    return GiftGroup(env, host, givers)


async def _create_giver(env: CrashEnvironment, name: str) -> UserClient:
    """A user with gold."""
    giver = await env.create_user(name, 1)
    grant = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
    await env.ops_request("POST", f"users/{giver.id}/grant", **grant)
    return giver
