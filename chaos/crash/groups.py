"""The table of all paths, by what they share: users, and the checks after the crashes."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

from tornado.httpclient import HTTPRequest

from chaos.api import open_room
from chaos.crash.deletions import DELETION, DeletedUsers
from chaos.crash.environment import CrashEnvironment
from chaos.crash.gifts import REPEATS, Gifts, RoomEvents
from chaos.crash.invariants import (
    bank_violations,
    cancel_violations,
    event_violations,
    gift_violations,
    outcome_violations,
    refund_violations,
    request_violations,
)
from chaos.crash.marked_sweeps import BILLS, NOTICES
from chaos.crash.matches import MATCH_PATHS, Matches, create_matches
from chaos.crash.notices import Notices, create_notices
from chaos.crash.orders import (
    PaidOrders,
    delivery_push,
    pay_jsapi_order,
    pay_xpay_order,
    payment_notification,
)
from chaos.crash.paths import (
    CrashPath,
    PreparedTargets,
    RequestPath,
    SweepPath,
    TakeTarget,
    callback_path,
    decision_path,
)
from chaos.crash.refunds import RefundCases
from chaos.crash.webhooks import WEBHOOK, Webhooks
from chaos.crash.withdrawals import PREPARED, Withdrawals
from chaos.run import GOLD
from devtools.simulator.refunds import SimulatedRefund
from storage.database import Document
from tencent.pay import JSAPI
from tencent.xpay import PROVIDER as XPAY
from tests.support.client import UserClient

ORDERS = 50
GIFT_PATHS = ("gift", "gift_outside", "notification", "sweep")
MONEY_PATHS = (
    *("withdrawal", "withdrawal_approve", "withdrawal_decline", "transfer_notification"),
    *("transfer_return", "transfer_submit", "transfer_query", "transfer_resend"),
    *("transfer_cancel", "xpay_delivery", "refund_confirm", "refund_case", "refund_callback"),
    "xpay_refund_push",
)
NOTICE_PATHS = (NOTICES, "notice_choice")
PATHS = (*GIFT_PATHS, *MONEY_PATHS, *MATCH_PATHS, *NOTICE_PATHS, BILLS, DELETION, WEBHOOK)


class GiftGroup:
    """Gifts and payments.

    As each group: `paths` are all, of which a run may leave some out; `finish` completes what they
    have in common on a server that does not crash; `check` adds violations and returns metrics.
    """

    def __init__(self, env: CrashEnvironment, host: UserClient, givers: Sequence[UserClient]):
        """Take two givers, of whom the first is in the live room of the host."""
        inside, outside = givers
        self._env = env
        self._events = RoomEvents(env, host.live_id)
        self._gifts = (
            Gifts(env, "gift", inside, host, self._events),
            Gifts(env, "gift_outside", outside, inside),
        )
        self._orders = orders = PaidOrders(env, "buyer", pay_jsapi_order, ORDERS)
        self._notifications = callback_path(
            "notification", env, orders.take, partial(payment_notification, env)
        )
        self.paths: list[CrashPath] = [
            *(gifts.path for gifts in self._gifts),
            self._notifications,
            SweepPath("sweep", orders.take, orders.make_due),
        ]

    async def finish(self) -> None:
        await self._orders.finish()
        await self._events.collect()

    async def check(self) -> dict[str, int]:
        env, events = self._env, self._events
        recorded, in_room = 0, list[Document]()
        for gifts in self._gifts:
            rows = await env.rows("ledger", {"kind": "gift", "by": gifts.giver.id})
            rows.sort(key=lambda row: row["at"])
            recorded += len(rows)
            in_room += rows if gifts.events else []
            env.violations.add_all(gift_violations(gifts.responses, rows))
        [room] = await env.rows("rooms", {"_id": events.live_id})
        env.violations.add_all(event_violations(in_room, events.names, room))
        return {
            "gifts_acknowledged": sum(len(gifts.responses) for gifts in self._gifts),
            "gifts_booked": recorded,
            "room_gifts": len(in_room),
            "room_events": len(events.by_number),
            "gift_events": sum(row["type"] == "gift" for row in events.by_number.values()),
            **await self._orders.check(),
            "notifications": self._notifications.attempts,
            "notifications_done": len(
                await env.rows("inbox", {"source": JSAPI, "outcome": "done"})
            ),
        }


class MoneyGroup:
    """Withdrawals, virtual payment and refund cases."""

    def __init__(self, env: CrashEnvironment, prepared: int = PREPARED) -> None:
        """Prepare `prepared` targets of a path at once."""
        self._env = env
        self._withdrawals = made = Withdrawals(env)
        self._cases = cases = RefundCases(env, made)
        self._orders = orders = PaidOrders(
            env, "buyer of virtual payment", pay_xpay_order, prepared
        )

        def of(make: TakeTarget, server: str = "no_sweeps") -> TakeTarget:
            return PreparedTargets(env, make, prepared, server).take

        def refund_of(provider: str) -> TakeTarget:
            return of(lambda: cases.refund(provider), "fast_sweeps")

        def refund_callback(refund: SimulatedRefund) -> HTTPRequest:
            return refund.finish(refund, "once")

        approve, decline = "withdrawals/{}/approve", "withdrawals/{}/decline"
        paid = partial(made.ended, "success")
        undecided, decided = ("requested",), made.cancelled.append
        self.paths: list[CrashPath] = [
            RequestPath(
                "withdrawal",
                env,
                of(made.new_request),
                made.send_request,
                record=lambda target, reply: made.record(target[1], reply),
                # A repeated request waits for a sweep, which submits what the dead server has not.
                before_repair=lambda target: env.set_due("withdrawals", {"request_id": target[1]}),
                repeats=REPEATS,
            ),
            decision_path("withdrawal_approve", env, of(made.requested), approve, undecided),
            decision_path(
                "withdrawal_decline", env, of(made.requested), decline, undecided, decided
            ),
            callback_path("transfer_notification", env, of(paid), made.notification),
            callback_path(
                "transfer_return", env, of(partial(made.ended, "failed")), made.notification
            ),
            SweepPath("transfer_submit", of(made.approved), made.make_due),
            SweepPath("transfer_query", of(paid), made.make_due),
            SweepPath("transfer_resend", of(made.refused_as_too_fast), made.make_due),
            RequestPath(
                "transfer_cancel",
                env,
                of(made.awaiting_payee),
                made.send_cancel,
                record=lambda target, _reply: made.cancelled.append(target[0]),
            ),
            callback_path("xpay_delivery", env, orders.take, partial(delivery_push, env)),
            decision_path(
                "refund_confirm", env, of(cases.opened), "refunds/{}/confirm", ("opened", "dropped")
            ),
            SweepPath("refund_case", of(cases.confirmed), cases.make_due),
            callback_path("refund_callback", env, refund_of(JSAPI), refund_callback),
            callback_path("xpay_refund_push", env, refund_of(XPAY), refund_callback),
        ]

    async def finish(self) -> None:
        await self._cases.finish()
        await self._withdrawals.finish()

    async def check(self) -> dict[str, int]:
        env, made = self._env, self._withdrawals
        rows, cases = await env.rows("withdrawals"), await env.rows("refund_cases")
        journal = await env.rows("ledger", {"kind": {"$ne": "gift"}})
        stopped = await env.rows("users", {"withdrawals_stopped": {"$nin": [None, []]}})
        bank, refunds = env.simulator.transfers.bills, env.simulator.refunds.refunds
        paid = {number: bill.fen for number, bill in bank.items() if bill.state == "SUCCESS"}
        refunded = [
            (refund.order, refund.number, refund.fen, refund.state) for refund in refunds.values()
        ]
        for found in (
            request_violations(made.answers, rows),
            cancel_violations(made.cancelled, rows),
            outcome_violations(rows, journal),
            bank_violations(paid, journal),
            refund_violations(cases, refunded, journal),
            (("withdrawals_stopped", user["_id"]) for user in stopped),
        ):
            env.violations.add_all(found)
        payouts = [row["content"]["fen"] for row in journal if row["kind"] == "payout"]
        return {
            **await self._orders.check("xpay_"),
            "withdrawals": len(rows),
            "bills_at_bank": len(bank),
            "bills_paid": len(paid),
            "fen_paid": sum(paid.values()),
            "fen_in_journal": sum(payouts),
            "refund_cases": len(cases),
            "refunds": len(refunded),
        }


class BillGroup:
    """Bills, each of a day with one payment of which the server was not notified."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env
        self._day = date(2020, 1, 1)  # long before the orders that wait for their turn
        self._orders = PaidOrders(env, "buyer without notifications", pay_jsapi_order, ORDERS)
        self.paths: list[CrashPath] = [SweepPath(BILLS, self._next_day)]

    async def finish(self) -> None:
        """Have a sweep credit the order of the last day, whose bill no other server compares."""
        await self._orders.make_due(self._orders.taken[-1:])
        await self._orders.finish()

    async def check(self) -> dict[str, int]:
        where = {"state": "open", "bill": {"$not": re.compile(str(self._day))}}
        for row in await self._env.rows("bill_differences", where):
            self._env.violations.add("bill_difference", str(row))
        done = await self._env.rows("bills", {"type": "trade", "state": "done"})
        before = max(0, len(self._orders.taken) - 1)
        found = {"bills_done": len(done), "billed_orders_before": before}
        return found | await self._orders.check("billed_")

    async def _next_day(self) -> str:
        number, self._day = await self._orders.take(), self._day + timedelta(days=1)
        paid_at = f"{self._day}T12:00:00+08:00"
        self._env.simulator.pay.paid[number]["success_time"] = paid_at
        return str(self._day)


PathGroup = GiftGroup | MoneyGroup | Matches | Notices | BillGroup | DeletedUsers | Webhooks


async def create_groups(env: CrashEnvironment, names: set[str]) -> list[PathGroup]:
    """Return the groups that have one of the paths `names`."""
    groups: list[PathGroup] = []
    if not names.isdisjoint(GIFT_PATHS):
        groups.append(await create_gift_group(env))
    if not names.isdisjoint(MONEY_PATHS):
        groups.append(MoneyGroup(env))
    if not names.isdisjoint(MATCH_PATHS):
        groups.append(await create_matches(env))
    if BILLS in names:
        groups.append(BillGroup(env))
    if DELETION in names:
        groups.append(DeletedUsers(env))
    if not names.isdisjoint(NOTICE_PATHS):
        groups.append(await create_notices(env))
    if WEBHOOK in names:
        groups.append(Webhooks(env))
    return groups


async def create_gift_group(env: CrashEnvironment) -> GiftGroup:
    """Create a host whose room is live, a giver in it and one outside of it."""
    async with env.stable_server():
        host = await env.create_user("host", 2)
        await open_room(env, host)
        givers = [await env.create_giver(name, GOLD) for name in ("inside", "outside")]
        await givers[0].get("get_playurl/", live_id=host.live_id)
        # Later the messages about new users would change the room beside the gifts.
        await env.wait_until_none(partial(env.rows, "outbox"), "outbox_undelivered")
    return GiftGroup(env, host, givers)
