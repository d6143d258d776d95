"""What a gift does to whose account: gold first, then income; the receiver earns a share."""

import secrets
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal

from money.book import Answer, Line, Purse, lines_of


@dataclass(frozen=True, slots=True)
class Present:
    """A gift as it is asked for; `gold` is the price of one, `rate` the receiver's share."""

    sender: str
    receiver: str
    gift_id: int
    gold: int
    num: int
    rate: Decimal
    request_id: str = ""
    repeat_ms: int = 0
    """Without a request_id: how long an identical gift counts as a retry, in ms; 0 never."""
    key: str = field(init=False)
    """Of its entry in the book; without a request_id another one every time."""

    def __post_init__(self) -> None:
        name = self.request_id or f"~{secrets.token_hex(12)}"
        object.__setattr__(self, "key", gift_key(self.sender, name))

    @property
    def cost(self) -> int:
        return self.gold * self.num

    @property
    def earned(self) -> int:
        """floor(cost x rate): the income that it brings."""
        return int((self.cost * self.rate).to_integral_value(ROUND_FLOOR))

    @property
    def content(self) -> Answer:
        """What was asked for, as the book keeps it."""
        return {"to": self.receiver, "gift_id": self.gift_id, "num": self.num}

    @property
    def likeness(self) -> tuple[str, str, int, int]:
        """Two with the same are identical gifts."""
        return self.sender, self.receiver, self.gift_id, self.num

    @property
    def may_be_a_retry(self) -> bool:
        """Of an identical one that was given within `repeat_ms`."""
        return not self.request_id and self.repeat_ms > 0


def gift_key(sender: str, request_id: str) -> str:
    return f"gift:{sender}:{request_id}"


def price(cost: int, purse: Purse) -> Purse | None:
    """How much of the cost is taken from gold and how much from income; None when there is not
    enough of both."""
    gold = min(cost, purse.gold)
    income = cost - gold
    return Purse(gold, income) if income <= purse.income else None


def gift_lines(sender: str, receiver: str, paid: Purse, earned: int) -> tuple[Line, ...]:
    """The gift's gold and income go to the house, the earning comes from it."""
    return lines_of(sender, -paid.gold, -paid.income) + lines_of(receiver, 0, earned)
