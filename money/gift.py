"""What a gift does to whose account: gold first, then income; the receiver earns a share."""

from decimal import ROUND_FLOOR, Decimal

from money.book import Line, Purse, lines_of
from money.refusals import InsufficientGold


def cost_of(gold: int, num: int) -> int:
    return gold * num


def earning(cost: int, rate: Decimal) -> int:
    """floor(cost x rate): the income that a gift of this cost brings."""
    return int((cost * rate).to_integral_value(ROUND_FLOOR))


def pay(cost: int, purse: Purse) -> Purse:
    """How much of the cost is taken from gold and how much from income; InsufficientGold."""
    gold = min(cost, purse.gold)
    income = cost - gold
    if income > purse.income:
        raise InsufficientGold
    return Purse(gold, income)


def gift_lines(sender: str, receiver: str, paid: Purse, earned: int) -> tuple[Line, ...]:
    """The gift's gold and income go to the house, the earning comes from it."""
    return lines_of(sender, -paid.gold, -paid.income) + lines_of(receiver, 0, earned)
