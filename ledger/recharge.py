"""Rules of a recharge: open orders, verified payment or refund, journal entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from core.retry import ORDERS
from ledger.errors import RefusalReason, refuse_mismatch
from ledger.journal import HOUSE, JournalEntry, Posting, debt_account, postings_for, user_account

OrderState = Literal["created", "paid", "closed"]
"""`paid` is final. A closed order is no longer queried, but becomes paid if its payment is verified
after all, because the money has arrived."""

RefundState = Literal["pending", "done", "failed"]
"""A refund at its provider: `failed` returned no money and needs a person."""


IOS = "ios"
"""The system whose orders of virtual payment are paid to Apple."""
OFFER_LIFETIME = timedelta(hours=2)
"""How long the provider takes a payment of an order: the lifetime of a prepay_id of WeChat Pay."""
OPEN_FOR = timedelta(minutes=105)
"""Maximum age of an open order. The 15 minutes that are left suffice to pay it, and cover clocks
that differ."""
CLOSE_AFTER = ORDERS.first[-1]
"""Age at which an open order is closed: a payment may be in flight when the offer ends."""
MAX_OPEN_ORDERS = 5
"""Open orders of a user. People compare a few blocks before they pay for one; each order costs a
call and several queries to the provider, so that a flood of them would delay all other payments."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of `gold` for `fen` (1/100 yuan) through one payment provider."""

    number: str
    user_id: str
    provider: str
    app_id: str
    openid: str
    product: str
    """Product id at the provider; "" if the provider charges plain amounts."""
    fen: int
    gold: int
    state: OrderState = "created"
    sandbox: bool = False
    platform: str = ""
    """The buyer's system as the client names it (ios, android, ohos, windows, …), "" if unknown;
    `ios` once Apple has asked about the order."""
    paid_fen: int | None = None
    """As in its payment."""

    @property
    def charged_fen(self) -> int:
        """Fen that the buyer was charged, which is what can be refunded."""
        return self.paid_fen or self.fen

    def may_be_of(self, openid: str | None) -> bool:
        """Return whether a report names this payer, or none; a deleted user has no openid."""
        return not self.openid or openid in (None, self.openid)

    @property
    def is_refunded_by_apple(self) -> bool:
        """Whether it was paid to Apple, which alone refunds it."""
        return (self.provider, self.platform) == ("xpay", IOS)


@dataclass(frozen=True, slots=True)
class ClaimedOrder:
    """An order claimed for a payment query or a confirmation of delivery."""

    order: Order
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment verified with its provider; None: not reported by the provider."""

    provider: str
    order: str
    transaction: str
    """The provider's transaction id, used to reconcile its bill; "" if it has none."""
    fen: int
    openid: str | None = None
    app_id: str | None = None
    product: str | None = None
    currency: str = "CNY"
    sandbox: bool = False
    quantity: int = 1
    paid_fen: int | None = None
    """Fen that the buyer was charged: less than `fen` if WeChat gave a discount."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A full or partial refund verified with its provider."""

    provider: str
    order: str
    refund: str
    """The provider's refund id, the same in repeated notifications."""
    fen: int
    sandbox: bool = False
    openid: str | None = None
    own: str = ""
    """Our number, if we asked for the refund; the provider may report others of its console."""


def check_payment(order: Order, payment: Payment) -> None:
    """Raise ReportRefused if a payment does not match its order."""
    refuse_mismatch(
        {
            RefusalReason.PROVIDER: payment.provider == order.provider,
            RefusalReason.APP: payment.app_id in (None, order.app_id),
            RefusalReason.PAYER: order.may_be_of(payment.openid),
            RefusalReason.SANDBOX: payment.sandbox == order.sandbox,
            RefusalReason.PRODUCT: payment.product in (None, order.product),
            RefusalReason.CURRENCY: payment.currency == "CNY",
            RefusalReason.AMOUNT: (payment.quantity, payment.fen) == (1, order.fen),
        }
    )


def counts_as_ios(order: Order, payment: Payment) -> bool:
    """Return whether Apple may settle it, and WeChat has no transaction, whatever clients say."""
    return order.is_refunded_by_apple or (order.provider, payment.transaction) == ("xpay", "")


def recharge_key(order_number: str) -> str:
    """Return the idempotency key of an order's only recharge entry."""
    return f"recharge:{order_number}"


def recharge_entry(order: Order, payment: Payment) -> JournalEntry:
    """Return the recharge entry: gold from the house account to the buyer."""
    content = {
        "to": order.user_id,
        "gold": order.gold,
        "fen": order.fen,
        "transaction": payment.transaction,
    }
    lines = postings_for(order.user_id, order.gold)
    return JournalEntry(recharge_key(order.number), "recharge", order.provider, lines, content)


def check_refund(order: Order, refund: Refund, refunded: int) -> None:
    """Raise ReportRefused if a refund does not match, after `refunded` fen of earlier ones."""
    refuse_mismatch(
        {
            RefusalReason.PROVIDER: refund.provider == order.provider,
            RefusalReason.PAYER: order.may_be_of(refund.openid),
            RefusalReason.AMOUNT: 0 < refund.fen <= order.charged_fen - refunded,
        }
    )


def gold_to_reverse(order: Order, refund: Refund, refunded: int) -> int:
    """Return the gold to take back, after `refunded` fen of earlier refunds.

    Proportional to the money: refunds of the whole payment add up to all the gold.
    """
    gold, fen = order.gold, order.charged_fen
    return gold * (refunded + refund.fen) // fen - gold * refunded // fen


def refund_key(refund: Refund) -> str:
    """Return the idempotency key of the only reversal of a refund."""
    return f"reversal:{refund.provider}:{refund.refund}"


def reversal_entry(order: Order, refund: Refund, gold: int, available: int) -> JournalEntry:
    """Return the reversal entry; what the user's `available` gold does not cover is owed."""
    taken = min(gold, available)
    owed = gold - taken
    lines = [
        Posting(user_account(order.user_id), "gold", -taken),
        Posting(debt_account(order.user_id), "gold", -owed),
        Posting(HOUSE, "gold", gold),
    ]
    return JournalEntry(
        refund_key(refund),
        "reversal",
        refund.provider,
        tuple(line for line in lines if line.amount),
        {"reverses": recharge_key(order.number), "fen": refund.fen, "gold": gold},
    )


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An unpaid order that its user can still pay; it occupies one of the user's slots."""

    order: Order
    block_id: int
    slot: int
    created_at: datetime
    prepay_id: str = ""
    """The provider's id of the prepared payment; "" before it, and for virtual payment."""

    @property
    def expires_at(self) -> datetime:
        """When the provider's offer ends; the same for every request about this order."""
        return self.created_at + OFFER_LIFETIME


def offer_key(order: Order, block_id: int) -> str:
    """Return a key that orders of one user share for the same block, price and provider."""
    parts = (order.user_id, order.provider, order.sandbox, block_id, order.fen, order.gold)
    return ":".join(map(str, parts))


def find_repeated(
    open_orders: Sequence[OpenOrder], order: Order, block_id: int
) -> OpenOrder | None:
    """Return the open order that a new one would repeat."""
    key = offer_key(order, block_id)
    same = (earlier for earlier in open_orders if offer_key(earlier.order, earlier.block_id) == key)
    return next(same, None)


def free_slot(open_orders: Sequence[OpenOrder]) -> int | None:
    """Return the user's lowest free slot; None if all are occupied."""
    occupied = {order.slot for order in open_orders}
    return next((slot for slot in range(MAX_OPEN_ORDERS) if slot not in occupied), None)
