"""A refund case: one confirmed action from the recharge over gifts to the hosts' income.

opened -> confirmed -> reversing -> refunding -> closed, or dropped before it is confirmed. Every
change returns the new case; the service stores it in the transaction of its journal entry.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from core.retry import REFUND_CASES
from ledger.errors import OrderNotSettleable
from ledger.recharge import Refund, RefundState
from ledger.refund_plan import GiftStep, HostStep, OrderStep, RefundPlan

CaseState = Literal["opened", "confirmed", "reversing", "refunding", "closed", "dropped"]
IN_PROGRESS: tuple[CaseState, ...] = ("confirmed", "reversing", "refunding")
OPEN_STATES: tuple[CaseState, ...] = ("opened", *IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class RefundCase:
    """A case on orders of one user; `version` counts its stored changes."""

    id: str
    request_id: str
    user_id: str
    reason: str
    opened_by: str
    opened_at: datetime
    orders: tuple[OrderStep, ...]
    gifts: tuple[GiftStep, ...]
    hosts: tuple[HostStep, ...]
    unspent: int
    """Gold of the orders that the user had not spent, at the time of the preview."""
    state: CaseState = "opened"
    decided_by: str = ""
    """Operator who has confirmed or dropped it."""
    decision_reason: str = ""
    decided_at: datetime | None = None
    closed_at: datetime | None = None
    checks: int = 0
    """Number of times that it was left waiting for a host's withdrawals or the provider."""
    due_at: datetime | None = None
    """When the sweep continues it, while it is in progress."""
    version: int = 0

    @property
    def gold(self) -> int:
        return sum(order.gold for order in self.orders)

    @property
    def fen(self) -> int:
        return sum(order.fen for order in self.orders)

    @property
    def uncovered(self) -> int:
        """Gold that neither the user's balance nor the gifts cover: it is owed."""
        return max(0, self.gold - self.unspent - sum(gift.gold for gift in self.gifts))

    @property
    def operators(self) -> str:
        """Author of its journal entries; two names if two operators decided."""
        alone = self.decided_by in ("", self.opened_by)
        return self.opened_by if alone else f"{self.opened_by}+{self.decided_by}"

    def asks_for(self, user_id: str, numbers: Collection[str]) -> bool:
        """Return whether a repeated request asks for the same refunds."""
        return (self.user_id, {order.number for order in self.orders}) == (user_id, {*numbers})

    def order(self, number: str) -> OrderStep | None:
        return next((order for order in self.orders if order.number == number), None)

    # ---- the decision

    def differs_from(self, plan: RefundPlan) -> bool:
        """Return whether the plan takes back something else than the preview has shown."""
        return (self.orders, self.gifts) != (plan.orders, plan.gifts)

    def with_plan(self, plan: RefundPlan) -> "RefundCase":
        return replace(self, **plan._asdict())

    def confirm(self, by: str, reason: str, at: datetime) -> "RefundCase":
        """Confirm the case; the gold of the orders is taken back in the same transaction."""
        orders = tuple(replace(order, state="taken") for order in self.orders)
        return replace(
            self,
            orders=orders,
            state="confirmed",
            decided_by=by,
            decision_reason=reason,
            decided_at=at,
            due_at=at,
        )

    def drop(self, by: str, reason: str, at: datetime) -> "RefundCase":
        return replace(self, state="dropped", decided_by=by, decision_reason=reason, decided_at=at)

    # ---- the chain

    @property
    def reached(self) -> CaseState:
        """The state of a confirmed case, by its steps."""
        if self.waiting_gifts:
            return "reversing"
        is_over = all(order.state in ("refunded", "settled") for order in self.orders)
        if self.hosts_to_resume or not is_over:
            return "refunding"
        return "closed"

    @property
    def waiting_gifts(self) -> list[int]:
        """Positions of the gifts that wait, newest first."""
        return [n for n, gift in enumerate(self.gifts) if gift.state == "waiting"]

    def reverse_gift(self, position: int, taken: int, at: datetime) -> "RefundCase":
        """Note a reversed gift. `taken` is the income that the host had; the rest is owed."""
        owed = self.gifts[position].income - taken
        return self._with_gift(position, at, state="reversed", taken=taken, owed=owed)

    def skip_gift(self, position: int, at: datetime) -> "RefundCase":
        """Note that the gift was reversed elsewhere."""
        return self._with_gift(position, at, state="already_reversed")

    def is_stopped(self, host: str) -> bool:
        return any(step.stopped for step in self.hosts if step.user_id == host)

    def mark_hosts(self, users: Collection[str], at: datetime, *, stopped: bool) -> "RefundCase":
        """Note whether this case stops the withdrawals of these hosts."""
        hosts = tuple(
            replace(host, stopped=stopped) if host.user_id in users else host for host in self.hosts
        )
        return self._moved(at, hosts=hosts)

    @property
    def hosts_to_resume(self) -> list[str]:
        """Hosts whose withdrawals are stopped although all their gifts are reversed."""
        waiting = {gift.host for gift in self.gifts if gift.state == "waiting"}
        return [host.user_id for host in self.hosts if host.stopped and host.user_id not in waiting]

    # ---- the money

    @property
    def orders_to_refund(self) -> list[OrderStep]:
        """Orders whose provider has to be asked; none while gifts wait."""
        if self.waiting_gifts:
            return []
        unrefunded = [order for order in self.orders if order.state in ("taken", "requested")]
        return [order for order in unrefunded if not order.by_apple]

    def note_answer(self, number: str, answer: RefundState, at: datetime) -> "RefundCase":
        """Note the provider's answer to our request for a refund."""
        state = "refunded" if answer == "done" else "requested"
        problem = "refund_failed" if answer == "failed" else ""
        return self._with_order(number, at, state=state, problem=problem)

    def leave_to_apple(self, number: str, at: datetime) -> "RefundCase":
        """Note that Apple has asked about the order since the case was opened."""
        return self._with_order(number, at, by_apple=True, problem="")

    def note_problem(self, number: str, problem: str, at: datetime) -> "RefundCase":
        """Note that the provider has not answered, so that it has to be asked again."""
        return self._with_order(number, at, problem=problem)

    def waits_for(self, refund: Refund) -> bool:
        """Return whether one of its orders waits for this refund, or has had it."""
        return any(order.is_paid_by(refund) for order in self.orders)

    def apply(self, refund: Refund, at: datetime) -> "RefundCase":
        """Apply WeChat's callback about the refund of an order that waits for it."""
        changes = {"state": "refunded", "problem": "", "provider_refund": refund.refund}
        return replace(self._with_order(refund.order, at, **changes), due_at=at)

    def settle(self, number: str, by: str, reason: str, at: datetime) -> "RefundCase":
        """End the step of an order, as an operator.

        Raises OrderNotSettleable if the case is not refunding, or the order is not part of it or
        cannot be settled.
        """
        order = self.order(number)
        if self.state != "refunding" or order is None or not order.can_be_settled:
            raise OrderNotSettleable
        changes = {"state": "settled", "problem": "", "settled_by": by, "settled_reason": reason}
        return replace(self._with_order(number, at, **changes), due_at=at)

    def wait(self, now: datetime) -> "RefundCase":
        """Return the case left waiting, to be checked again later.

        It has the state that its steps have reached, also if none of them was left to take.
        """
        case = self._moved(now)
        checks = case.checks + 1
        return replace(case, checks=checks, due_at=now + REFUND_CASES.after(checks))

    # ---- one step changed

    def _with_gift(self, position: int, at: datetime, **changes: Any) -> "RefundCase":
        gifts = [*self.gifts]
        gifts[position] = replace(gifts[position], **changes)
        return self._moved(at, gifts=tuple(gifts))

    def _with_order(self, number: str, at: datetime, **changes: Any) -> "RefundCase":
        orders = tuple(
            replace(step, **changes) if step.number == number else step for step in self.orders
        )
        return self._moved(at, orders=orders)

    def _moved(self, at: datetime, **changes: Any) -> "RefundCase":
        """Return the case with these changes, in the state that its steps have reached."""
        moved = replace(self, **changes)
        state = moved.reached
        if state == moved.state:
            return moved
        return replace(moved, state=state, checks=0, closed_at=at if state == "closed" else None)
