"""Gift postings: gold is spent before income, the receiver earns a share."""

import secrets
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal

from ledger.journal import Balance, JsonObject, Posting, postings_for


@dataclass(frozen=True, slots=True)
class GiftTransfer:
    """A requested gift; `gold` is the unit price, `rate` the receiver's share."""

    sender: str
    receiver: str
    gift_id: int
    gold: int
    num: int
    rate: Decimal
    request_id: str = ""
    key: str = field(init=False)
    """Idempotency key of the journal entry; random without a request_id."""

    def __post_init__(self) -> None:
        request_id = self.request_id or f"~{secrets.token_hex(12)}"
        object.__setattr__(self, "key", gift_key(self.sender, request_id))

    @property
    def cost(self) -> int:
        return self.gold * self.num

    @property
    def receiver_income(self) -> int:
        """Income of the receiver: floor(cost x rate)."""
        return int((self.cost * self.rate).to_integral_value(ROUND_FLOOR))

    @property
    def content(self) -> JsonObject:
        """The request as stored in the journal entry."""
        return {"to": self.receiver, "gift_id": self.gift_id, "num": self.num}


def gift_key(sender: str, request_id: str) -> str:
    return f"gift:{sender}:{request_id}"


def split_cost(cost: int, balance: Balance) -> Balance | None:
    """Split the cost into gold, then income; None if insufficient."""
    gold = min(cost, balance.gold)
    income = cost - gold
    return Balance(gold, income) if income <= balance.income else None


def gift_postings(
    sender: str, receiver: str, paid: Balance, receiver_income: int
) -> tuple[Posting, ...]:
    """Payment to the house account, the receiver's share from it."""
    return postings_for(sender, -paid.gold, -paid.income) + postings_for(
        receiver, 0, receiver_income
    )
