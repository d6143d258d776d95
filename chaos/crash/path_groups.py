"""Paths with what they share: the users that they need, and the checks after the crashes."""

from collections.abc import Sequence
from typing import Protocol

from chaos.crash.environment import CrashEnvironment, EnvironmentUser
from chaos.crash.gift_paths import GiftPath, RoomGiftPath
from chaos.crash.invariants import check_crash_invariants
from chaos.crash.money_invariants import check_deliveries, check_money_invariants
from chaos.crash.payment_paths import NotificationPath, PaidOrders, SweepPath
from chaos.crash.refund_paths import (
    RefundConfirmPath,
    RefundNoticePath,
    RefundPushPath,
    RefundSweepPath,
)
from chaos.crash.refunds import RefundCases
from chaos.crash.withdrawal_paths import (
    TransferCancelPath,
    TransferNoticePath,
    TransferSweepPath,
    WithdrawalDecisionPath,
    WithdrawalPath,
)
from chaos.crash.withdrawals import STOCK, Withdrawals
from chaos.crash.xpay_delivery import PaidXpayOrders, XpayDeliveryPath
from chaos.run import GOLD


class CrashPath(Protocol):
    """A path of a server on which it crashes, and the repair of what the crash left."""

    name: str

    async def prepare(self) -> str:
        """Returns the next target; called before the server for it is started."""

    async def repair(self) -> None:
        """Complete the previous attempt, on the next server."""

    async def attempt(self, target: str) -> None:
        """Send the target to a server that crashes."""

    async def settle(self) -> None:
        """Complete everything at the end, on a server that does not crash."""


class PathGroup(Protocol):
    """`paths` are all of the group, of which a run may leave some out."""

    paths: Sequence[CrashPath]

    async def settle(self) -> None:
        """Complete what the paths have in common, on a server that does not crash."""

    async def check(self) -> dict[str, int]:
        """Add violated invariants to the violations; returns the metrics."""


class GiftGroup:
    """Gifts and payments."""

    def __init__(self, env: CrashEnvironment) -> None:
        self._env = env
        self.paths: list[CrashPath] = []

    async def create(self) -> None:
        self.inside, self.outside, self.orders = await create_users(self._env)
        self.notifications = NotificationPath(self.orders)
        sweep = SweepPath(self.orders)
        self.paths = [self.inside, self.outside, self.notifications, sweep]

    async def settle(self) -> None:
        """Nothing is left."""

    async def check(self) -> dict[str, int]:
        givers, rooms = (self.inside, self.outside), (self.inside.room_events,)
        return await check_crash_invariants(
            self._env, givers, rooms, self.orders, self.notifications
        )


class MoneyGroup:
    """Withdrawals, virtual payment and refund cases."""

    def __init__(self, env: CrashEnvironment, stock: int = STOCK) -> None:
        """`stock`: targets of a path that are prepared at once."""
        self._env = env
        self.withdrawals = made = Withdrawals(env)
        self.cases = cases = RefundCases(env, made)
        self.orders = PaidXpayOrders(env, stock)
        self.paths: list[CrashPath] = [
            WithdrawalPath(made, stock),
            WithdrawalDecisionPath(made, "approve", stock),
            WithdrawalDecisionPath(made, "decline", stock),
            TransferNoticePath("transfer_notice", made, "success", stock),
            TransferNoticePath("transfer_return", made, "failed", stock),
            TransferSweepPath("transfer_submit", made, made.approved, stock),
            TransferSweepPath("transfer_query", made, made.confirmed, stock),
            TransferSweepPath("transfer_resend", made, made.not_taken, stock),
            TransferCancelPath(made, stock),
            XpayDeliveryPath(self.orders),
            RefundConfirmPath(cases, stock),
            RefundSweepPath(cases, stock),
            RefundNoticePath(cases, stock),
            RefundPushPath(cases, stock),
        ]

    async def settle(self) -> None:
        await self.cases.settle()
        await self.withdrawals.settle()

    async def check(self) -> dict[str, int]:
        deliveries = await check_deliveries(self._env, self.orders)
        return deliveries | await check_money_invariants(self._env, self.withdrawals)


GIFT_PATHS = ("gift", "gift_outside", "notification", "sweep")
MONEY_PATHS = (
    *("withdrawal", "withdrawal_approve", "withdrawal_decline", "transfer_notice"),
    *("transfer_return", "transfer_submit", "transfer_query", "transfer_resend"),
    *("transfer_cancel", "xpay_delivery", "refund_confirm", "refund_case", "refund_notice"),
    "xpay_refund_push",
)
PATHS = (*GIFT_PATHS, *MONEY_PATHS)


async def create_groups(env: CrashEnvironment, names: set[str]) -> list[PathGroup]:
    """The groups that have one of the paths `names`."""
    groups: list[PathGroup] = []
    if not names.isdisjoint(GIFT_PATHS):
        groups.append(gifts := GiftGroup(env))
        await gifts.create()
    if not names.isdisjoint(MONEY_PATHS):
        groups.append(MoneyGroup(env))
    return groups


async def create_users(env: CrashEnvironment) -> tuple[RoomGiftPath, GiftPath, PaidOrders]:
    """Create a host whose room is live, a giver in it, a giver outside of it, and a buyer."""
    async with env.stable_server():
        host, live_id = await _open_room(env, "host")
        inside, outside = await _create_giver(env, "inside"), await _create_giver(env, "outside")
        await inside.get("get_playurl/", live_id=live_id)
        buyer = await env.create_user("buyer", 1)
    room_gifts = RoomGiftPath(env, inside, host, live_id)
    return room_gifts, GiftPath(env, "gift_outside", outside, buyer), PaidOrders(env, buyer)


async def _open_room(env: CrashEnvironment, name: str) -> tuple[EnvironmentUser, int]:
    """The host, and the live_id."""
    host = await env.create_user(name, 2)
    await env.ops_request("PATCH", f"users/{host.id}", is_matchmaker=True)
    return host, (await host.post("qlive_room/matchmaker_enter/")).json["live_id"]


async def _create_giver(env: CrashEnvironment, name: str) -> EnvironmentUser:
    """A user with gold."""
    giver = await env.create_user(name, 1)
    grant = {"gold": GOLD, "reason": "chaos", "request_id": giver.id}
    await env.ops_request("POST", f"users/{giver.id}/grant", **grant)
    return giver
