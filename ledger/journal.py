"""Double-entry journal: entries whose postings sum to zero per unit.

Integers only, in units of one. A user's balance is the running sum of their postings.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ledger.errors import RequestIdReused

JsonObject = Mapping[str, Any]
Unit = Literal["gold", "income"]
Kind = Literal["recharge", "gift", "grant", "reversal", "withdrawal", "payout", "return"]
HOUSE = "house"
DEBTS: Mapping[Unit, str] = {"gold": "owed", "income": "owed_income"}
"""Names of a user's debts."""


class Posting(NamedTuple):
    account: str
    unit: Unit
    amount: int


class Balance(NamedTuple):
    """A user's gold and income."""

    gold: int
    income: int


class EventReference(NamedTuple):
    """The numbered room event that published an entry."""

    live_id: int
    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One transaction; `key` is its idempotency key.

    ValueError if the postings in `lines` do not sum to zero.
    """

    key: str
    kind: Kind
    by: str
    lines: tuple[Posting, ...]
    content: JsonObject
    """The request: the same key with other content is refused."""
    answer: JsonObject = field(default_factory=dict)
    note: str = ""
    rate: str = ""
    """The receiver's share of the gold of a gift; "" for other entries."""
    ios: bool = False
    """Whether the giver of a gift, or of a reversed one, had paid on iOS shortly before."""
    private: bool = False
    """Whether a gift was given in a private live, and is in no ranking."""

    def __post_init__(self) -> None:
        sums: Counter[str] = Counter()
        for line in self.lines:
            sums[line.unit] += line.amount
        if any(sums.values()):
            raise ValueError(f"the lines of {self.key} do not sum to zero: {dict(sums)}")


class StoredEntry(NamedTuple):
    """Request and answer of an entry in the journal."""

    content: JsonObject
    answer: JsonObject

    def answer_to(self, content: JsonObject) -> JsonObject:
        """Return the answer to a repetition. Raises RequestIdReused if it asks for another."""
        if dict(self.content) != dict(content):
            raise RequestIdReused
        return self.answer


def user_account(user_id: str) -> str:
    return f"user:{user_id}"


def debt_account(user_id: str) -> str:
    """Return the account of a user's unpaid debt from refunds; it is never above zero."""
    return f"owed:{user_id}"


def held_account(withdrawal: str) -> str:
    """Return the account of the income that a withdrawal holds until it is paid or returned."""
    return f"held:{withdrawal}"


def postings_for(user_id: str, gold: int = 0, income: int = 0) -> tuple[Posting, ...]:
    """Return postings from the house account to a user; negative amounts go back."""
    amounts: tuple[tuple[Unit, int], ...] = (("gold", gold), ("income", income))
    return tuple(
        line
        for unit, amount in amounts
        if amount
        for line in (Posting(user_account(user_id), unit, amount), Posting(HOUSE, unit, -amount))
    )


def negate(lines: tuple[Posting, ...]) -> tuple[Posting, ...]:
    return tuple(line._replace(amount=-line.amount) for line in lines)


def grant_key(request_id: str) -> str:
    return f"grant:{request_id}"


def debt_key(request_id: str) -> str:
    return f"settle:{request_id}"


def reversal_key(entry_key: str) -> str:
    """Return the idempotency key of the only reversal of a gift or grant."""
    return f"reversal:{entry_key}"


def affected_users(lines: tuple[Posting, ...]) -> list[str]:
    """Return the ids of the users whose balances these postings change, sorted."""
    prefix = user_account("")
    names = {line.account.removeprefix(prefix) for line in lines if line.account.startswith(prefix)}
    return sorted(names)
