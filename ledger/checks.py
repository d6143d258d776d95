"""Compares stored balances with the journal; storage/ledger_reconciler.py reads both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.journal import HOUSE, Balance, Unit, debt_account, user_account

PostingSums = Mapping[tuple[str, Unit], int]
"""Sum of all postings of the journal, by account and unit."""


@dataclass(frozen=True, slots=True)
class StoredBalance:
    """Balance and debts as stored with a user."""

    user_id: str
    balance: Balance
    owed: int = 0
    owed_income: int = 0


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """A discrepancy; `kind` is one of KINDS.

    `what` names the entry, account, order, room event or ranking.
    """

    kind: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}" + (f" ({self.detail})" if self.detail else "")


KINDS = (
    *("unbalanced", "balance", "negative", "stranger"),
    *("unbooked_order", "unpaid_entry", "double_event", "missing_event"),
    *("unbooked_event", "rank", "held", "payout"),
)


def find_balance_problems(
    sums: PostingSums, balances: Iterable[StoredBalance]
) -> list[LedgerProblem]:
    """Find balances that are wrong or negative, and accounts without a user."""
    unmatched = {key: amount for key, amount in sums.items() if key[0] != HOUSE and amount}
    problems: list[LedgerProblem] = []
    for balance in balances:
        stored: dict[tuple[str, Unit], int] = {
            (user_account(balance.user_id), "gold"): balance.balance.gold,
            (user_account(balance.user_id), "income"): balance.balance.income,
            (debt_account(balance.user_id), "gold"): -balance.owed,
            (debt_account(balance.user_id), "income"): -balance.owed_income,
        }
        for key, amount in stored.items():
            posted = unmatched.pop(key, 0)
            if posted != amount:
                detail = f"{key[1]}: stored {amount}, journal {posted}"
                problems.append(LedgerProblem("balance", key[0], detail))
        if min(*balance.balance, balance.owed, balance.owed_income) < 0:
            problems.append(LedgerProblem("negative", user_account(balance.user_id)))
    return problems + [
        LedgerProblem("stranger", name, f"{unit}: {amount}")
        for (name, unit), amount in unmatched.items()
    ]


def find_held_problems(
    journal: Mapping[str, int], stored: Mapping[str, int]
) -> list[LedgerProblem]:
    """Find held accounts whose postings are not the income of an open withdrawal."""
    return [
        LedgerProblem("held", name, f"stored {stored.get(name, 0)}, journal {journal.get(name, 0)}")
        for name in sorted({*journal, *stored})
        if journal.get(name, 0) != stored.get(name, 0)
    ]
