"""Plan of a refund case: orders, the gifts that spent their gold, and hosts' income.

The user's unspent gold goes first, then whole gifts, newest first, until the gold of the orders is
covered. The user keeps the rest of the last gift; gold that is not covered is owed.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from ledger.journal import (
    JournalEntry,
    Posting,
    debt_account,
    negate,
    reversal_key,
    user_account,
)
from ledger.recharge import Order, Refund, gold_to_reverse

OrderStepState = Literal["waiting", "taken", "requested", "refunded", "settled"]
"""In this order: `taken` (gold taken back), `requested`, `refunded` (confirmed by WeChat). An
operator may end the step as `settled`: refunded in another way, or never."""
GiftStepState = Literal["waiting", "reversed", "already_reversed"]
"""`already_reversed`: an operator or another case had reversed the gift before."""
MAX_GIFTS = 2000
"""Gifts of a case: bounds its document. Gold in older ones is owed."""


@dataclass(frozen=True, slots=True)
class OrderStep:
    """An order to refund; `fen` and `gold` are what earlier refunds have left of it."""

    number: str
    provider: str
    fen: int
    gold: int
    by_apple: bool
    """Only Apple refunds it: we cannot ask for that, and wait for WeChat's callback."""
    refund: str
    """Our number of the refund, the same in every request."""
    state: OrderStepState = "waiting"
    problem: str = ""
    """Why the last request to the provider did not succeed."""
    provider_refund: str = ""
    """The provider's refund id, of the callback that closed the step."""
    settled_by: str = ""
    settled_reason: str = ""

    @property
    def can_be_settled(self) -> bool:
        """Whether the provider, as far as we know, does not work on the refund."""
        needs_person = self.by_apple or self.problem != ""
        return self.state in ("taken", "requested") and needs_person

    def is_paid_by(self, refund: Refund) -> bool:
        """Return whether this is the refund that the step waits for, or has had.

        A refund of the whole sum closes it under any number: it may be Apple's, or a person's. Ours
        may be less, if the provider had less left.
        """
        is_ours = refund.own == self.refund
        is_whole = refund.fen == self.fen or (is_ours and refund.fen < self.fen)
        if not is_whole or (self.provider, self.number) != (refund.provider, refund.order):
            return False
        if self.state == "refunded":
            return is_ours or self.provider_refund in ("", refund.refund)
        return self.state != "waiting"


@dataclass(frozen=True, slots=True)
class GiftStep:
    """A gift to reverse: `gold` that it took from its giver, `income` that it gave to `host`."""

    key: str
    at: datetime
    host: str
    gold: int
    income: int
    state: GiftStepState = "waiting"
    taken: int = 0
    """Income that the host still had."""
    owed: int = 0
    """Income that became a debt of the host."""


@dataclass(frozen=True, slots=True)
class HostIncome:
    """A host's income: in the balance, in open withdrawals, and paid out so far."""

    free: int = 0
    held: int = 0
    paid: int = 0


@dataclass(frozen=True, slots=True)
class HostStep:
    """A host whose `income` is taken back, and where it was at the time of the preview."""

    user_id: str
    income: int
    free: int
    held: int
    paid: int
    spent: int
    """Neither free nor held nor paid out: given away in gifts."""
    stopped: bool = False
    """Whether this case stops the host's withdrawals."""


class RefundPlan(NamedTuple):
    """The steps of a case; `unspent` gold of the user covers a part of the orders."""

    orders: tuple[OrderStep, ...]
    gifts: tuple[GiftStep, ...]
    hosts: tuple[HostStep, ...]
    unspent: int


@dataclass(slots=True)
class GiftSelection:
    """Chooses the gifts to reverse among those offered newest first."""

    gold: int
    """Gold to cover."""
    taken: Container[str] = ()
    """Keys of gifts that another case reverses."""
    chosen: list[GiftStep] = field(default_factory=list)
    covered: int = 0

    @property
    def is_complete(self) -> bool:
        return self.covered >= self.gold or len(self.chosen) == MAX_GIFTS

    def offer(self, gift: GiftStep) -> None:
        if not self.is_complete and gift.gold and gift.key not in self.taken:
            self.chosen.append(gift)
            self.covered += gift.gold


def order_step(order: Order, refunded: int, number: str) -> OrderStep | None:
    """Return the refund, with our `number`, of the rest of an order; None if nothing is left."""
    fen = order.charged_fen - refunded
    if fen <= 0:
        return None
    gold = gold_to_reverse(order, Refund(order.provider, order.number, number, fen), refunded)
    by_apple = order.is_refunded_by_apple
    return OrderStep(order.number, order.provider, fen, gold, by_apple, number)


def make_plan(
    orders: Sequence[OrderStep],
    available: int,
    gifts: Sequence[GiftStep],
    incomes: Mapping[str, HostIncome],
) -> RefundPlan:
    """Plan the refund for a user with `available` gold; `gifts` are the chosen ones."""
    taken = Counter[str]()
    for gift in gifts:
        taken[gift.host] += gift.income
    hosts = []
    for user_id, income in taken.items():
        found = incomes.get(user_id, HostIncome())
        free = min(income, found.free)
        held = min(income - free, found.held)
        paid = min(income - free - held, found.paid)
        hosts.append(HostStep(user_id, income, free, held, paid, income - free - held - paid))
    unspent = min(available, sum(order.gold for order in orders))
    return RefundPlan(tuple(orders), tuple(gifts), tuple(hosts), unspent)


def gift_reversal(
    gift: JournalEntry, host: str, by: str, reason: str, *, debt: int, free: int
) -> JournalEntry:
    """Return the reversal of a gift.

    Its giver owes `debt` gold and its host has `free` income. The gold pays the giver's debt first.
    Income that the host does not have becomes a debt.
    """
    lines: list[Posting] = []
    for line in negate(gift.lines):
        limit = 0
        if line.account == user_account(gift.by) and line.unit == "gold":
            limit = min(debt, line.amount)
            lines.append(Posting(debt_account(gift.by), "gold", limit))
        elif line.account == user_account(host) and line.amount < 0:
            limit = min(0, line.amount + free)
            lines.append(Posting(debt_account(host), line.unit, limit))
        lines.append(line._replace(amount=line.amount - limit))
    posted = tuple(line for line in lines if line.amount)
    content = {"reverses": gift.key}
    return JournalEntry(
        reversal_key(gift.key), "reversal", by, posted, content, content, reason, ios=gift.ios
    )
