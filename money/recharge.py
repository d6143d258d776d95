"""What a recharge is: an order, what its provider proves of it, and the entry that follows."""

from dataclasses import dataclass
from typing import Literal

from money.book import HOUSE, Entry, Line, account, debt, lines_of

State = Literal["created", "paid", "closed"]
"""One way: a paid order stays paid. A closed one is asked about no more; should its payment be
proven all the same, it is paid, since somebody's money is there."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody set out to buy: `fen` of money for `gold`, from one provider."""

    number: str
    user_id: str
    provider: str
    app_id: str
    openid: str
    product: str
    """The name under which the provider sells it; "" where it sells amounts."""
    fen: int
    gold: int
    state: State = "created"
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Payment:
    """What a provider has proven to have been paid; None: it says nothing of that."""

    provider: str
    order: str
    transaction: str
    """Its own number for it, by which its bill is reconciled; "" when it gives none."""
    fen: int
    openid: str | None = None
    app_id: str | None = None
    product: str | None = None
    currency: str = "CNY"
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Refund:
    """What a provider has proven to have given back of a payment."""

    provider: str
    order: str
    refund: str
    """Its number for it, the same however often it is told."""
    fen: int
    sandbox: bool = False


class PaymentRefused(Exception):
    """A payment or refund that is not the one of its order; `word` says in what."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def check(order: Order, payment: Payment) -> None:
    """PaymentRefused: provider, app, payer, sandbox, product, currency or amount."""
    judged = {
        "provider": payment.provider == order.provider,
        "app": payment.app_id in (None, order.app_id),
        "payer": payment.openid in (None, order.openid),
        "sandbox": payment.sandbox == order.sandbox,
        "product": payment.product in (None, order.product),
        "currency": payment.currency == "CNY",
        "amount": payment.fen == order.fen,
    }
    for word, good in judged.items():
        if not good:
            raise PaymentRefused(word)


def key_of(order_number: str) -> str:
    """Of the one entry that an order can have."""
    return f"recharge:{order_number}"


def entry_of(order: Order, payment: Payment) -> Entry:
    """Gold from the house."""
    content = {
        "to": order.user_id,
        "gold": order.gold,
        "fen": order.fen,
        "transaction": payment.transaction,
    }
    lines = lines_of(order.user_id, order.gold)
    return Entry(key_of(order.number), "recharge", order.provider, lines, content)


def check_refund(order: Order, refund: Refund, before: int) -> None:
    """PaymentRefused: provider or amount; `before` is the fen that were given back already."""
    if refund.provider != order.provider:
        raise PaymentRefused("provider")
    if not 0 < refund.fen <= order.fen - before:
        raise PaymentRefused("amount")


def gold_back(order: Order, refund: Refund, before: int) -> int:
    """The gold that goes with the money; refunds of all the money are of all the gold."""
    return order.gold * (before + refund.fen) // order.fen - order.gold * before // order.fen


def reversal_of(order: Order, refund: Refund, gold: int, has: int) -> Entry:
    """Back to the house, out of the gold that they still have; the rest is owed."""
    taken = min(gold, has)
    owed = gold - taken
    lines = [
        Line(account(order.user_id), "gold", -taken),
        Line(debt(order.user_id), "gold", -owed),
        Line(HOUSE, "gold", gold),
    ]
    return Entry(
        f"reversal:{refund.provider}:{refund.refund}",
        "reversal",
        refund.provider,
        tuple(line for line in lines if line.amount),
        {"reverses": key_of(order.number), "fen": refund.fen, "gold": gold},
    )
