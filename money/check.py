"""Whether what is kept beside the book is what the book says; storage/reckoning.py reads both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from money.book import HOUSE, Purse, Unit, account, debt

Sums = Mapping[tuple[str, Unit], int]
"""By account and unit, all lines of the book together."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands on a user beside the book."""

    user_id: str
    purse: Purse
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind` is one of KINDS, `what` names the entry, user or order."""

    kind: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}" + (f" ({self.detail})" if self.detail else "")


KINDS = (
    *("unbalanced", "balance", "negative", "stranger"),
    *("unbooked_order", "unpaid_entry", "double_event", "missing_event"),
    *("unbooked_event", "rank"),
)


def compare(sums: Sums, everybody: Iterable[Kept]) -> list[Problem]:
    """Purses that are not the sums of their lines, or below zero; accounts of nobody."""
    left = {key: amount for key, amount in sums.items() if key[0] != HOUSE and amount}
    problems: list[Problem] = []
    for kept in everybody:
        stands: dict[tuple[str, Unit], int] = {
            (account(kept.user_id), "gold"): kept.purse.gold,
            (account(kept.user_id), "income"): kept.purse.income,
            (debt(kept.user_id), "gold"): -kept.owed,
        }
        for key, amount in stands.items():
            booked = left.pop(key, 0)
            if booked != amount:
                detail = f"{key[1]}: {amount}, and {booked} in the book"
                problems.append(Problem("balance", key[0], detail))
        if min(*kept.purse, kept.owed) < 0:
            problems.append(Problem("negative", account(kept.user_id)))
    return problems + [
        Problem("stranger", name, f"{unit}: {amount}") for (name, unit), amount in left.items()
    ]
