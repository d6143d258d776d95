"""What stands in the book: entries whose lines sum to zero per unit.

Integers only, in units of one. A user's purse is the running sum of their lines.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Answer = Mapping[str, Any]
Unit = Literal["gold", "income"]
Kind = Literal["recharge", "gift", "grant", "reversal"]
HOUSE = "house"


class Line(NamedTuple):
    account: str
    unit: Unit
    amount: int


class Purse(NamedTuple):
    """What somebody has."""

    gold: int
    income: int


@dataclass(frozen=True, slots=True)
class Heard:
    """The numbered room event by which an entry was heard of."""

    live_id: int
    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of the book; `key` is what makes it happen once."""

    key: str
    kind: Kind
    by: str
    lines: tuple[Line, ...]
    content: Answer
    """What was asked for: the same key with other content is refused."""
    answer: Answer = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        sums: Counter[str] = Counter()
        for line in self.lines:
            sums[line.unit] += line.amount
        if any(sums.values()):
            raise ValueError(f"the lines of {self.key} do not sum to zero: {dict(sums)}")


def account(user_id: str) -> str:
    return f"user:{user_id}"


def debt(user_id: str) -> str:
    """What somebody has to give back and does not have; never above zero."""
    return f"owed:{user_id}"


def lines_of(user_id: str, gold: int = 0, income: int = 0) -> tuple[Line, ...]:
    """What moves from the house to somebody (or back, when negative)."""
    moves: tuple[tuple[Unit, int], ...] = (("gold", gold), ("income", income))
    return tuple(
        line
        for unit, amount in moves
        if amount
        for line in (Line(account(user_id), unit, amount), Line(HOUSE, unit, -amount))
    )


def negated(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    return tuple(line._replace(amount=-line.amount) for line in lines)


def people_in(lines: tuple[Line, ...]) -> list[str]:
    """Whose purses are moved."""
    prefix = account("")
    names = {line.account.removeprefix(prefix) for line in lines if line.account.startswith(prefix)}
    return sorted(names)
