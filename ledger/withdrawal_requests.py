"""Rules of a request to withdraw income: amount, limits, and the income held."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ledger.errors import IncomeNotMatured, OverLimit, RealNameNeeded, TooLittle
from ledger.journal import JournalEntry, Posting, held_account, user_account
from ledger.transfers import REAL_NAME_FEN
from ledger.withdrawals import Withdrawal, WithdrawalState

REQUESTS_PER_DAY = 20
"""Requests of a user, also those that were returned: each may cause a call to WeChat Pay, and is a
line in the operators' queue."""


class UserDay(NamedTuple):
    """Requests of a user on a day in China; `fen` without those that were returned."""

    requests: int = 0
    fen: int = 0


@dataclass(frozen=True, slots=True)
class WithdrawalLimits:
    """Limits in fen, and who has to approve a withdrawal; see `withdraw` of the settings."""

    min_fen: int
    max_fen: int
    """Maximum of one withdrawal."""
    user_day_fen: int
    day_fen: int
    auto_fen: int
    """Maximum without approval by an operator; 0: each needs one."""
    second_person_fen: int
    """Above this sum of the user's day, two operators have to approve; 0: never."""

    def operators_needed(self, fen: int, day_fen: int) -> int:
        """Return how many operators approve `fen`, with which the user's day has `day_fen`."""
        if 0 < self.second_person_fen < day_fen:
            return 2
        return 0 if fen <= self.auto_fen else 1


@dataclass(frozen=True, slots=True)
class Payee:
    """User who withdraws; `openid` is theirs under `app_id`."""

    user_id: str
    app_id: str
    openid: str


class Maturity(NamedTuple):
    """Times since which income has not matured."""

    since: datetime
    ios_since: datetime
    """Of gifts by users who last paid on iOS."""


def matured_income(income: int, recent: int, owed: int) -> int:
    """Return the income that can be withdrawn.

    It is without credits of `recent` gifts, and without the debt. Spending takes the oldest income
    first, so that recent income is never paid out early.
    """
    return max(0, income - recent - owed)


def fen_of(income: int, rate: Decimal) -> tuple[int, int]:
    """Return the (fen, income) that a request pays and holds; the rest stays income."""
    fen_per_income = Fraction(rate) * 100
    fen = math.floor(income * fen_per_income)
    return (fen, math.ceil(fen / fen_per_income)) if fen else (0, 0)


def request_withdrawal(
    id_: str,
    payee: Payee,
    request_id: str,
    income: int,
    rate: Decimal,
    limits: WithdrawalLimits,
    now: datetime,
) -> Withdrawal:
    """Return a withdrawal of at most `income`.

    Raises TooLittle below the minimum, or OverLimit with "transfer" above the maximum.
    """
    fen, held = fen_of(income, rate)
    if fen < limits.min_fen:
        raise TooLittle(f"The least amount is {limits.min_fen} fen.")
    if fen > limits.max_fen:
        raise OverLimit("transfer")
    user, app, openid = payee.user_id, payee.app_id, payee.openid
    return Withdrawal(id_, user, app, openid, request_id, held, fen, rate, now)


def accept_request(
    withdrawal: Withdrawal,
    limits: WithdrawalLimits,
    earlier: UserDay,
    *,
    matured: int,
    has_real_name: bool,
) -> Withdrawal:
    """Accept the withdrawal after the `earlier` ones of its day.

    It is approved if no operator is needed. The real name and the second operator depend on the sum
    of the day, so that neither can be avoided by several withdrawals. Raises IncomeNotMatured,
    RealNameNeeded, or OverLimit with "requests" or "user_day".
    """
    day_fen = earlier.fen + withdrawal.fen
    if earlier.requests >= REQUESTS_PER_DAY:
        raise OverLimit("requests")
    if withdrawal.income > matured:
        raise IncomeNotMatured
    if day_fen > limits.user_day_fen:
        raise OverLimit("user_day")
    if day_fen >= REAL_NAME_FEN and not has_real_name:
        raise RealNameNeeded
    needed = limits.operators_needed(withdrawal.fen, day_fen)
    state = WithdrawalState.REQUESTED if needed else WithdrawalState.APPROVED
    return replace(withdrawal, operators_needed=needed, state=state)


def request_key(user_id: str, request_id: str) -> str:
    """Return the idempotency key of the only entry of a request to withdraw."""
    return f"withdrawal:{user_id}:{request_id}"


def request_entry(withdrawal: Withdrawal, asked: int) -> JournalEntry:
    """Return the entry that holds the income; `asked` is the income that the client sent."""
    income, user = withdrawal.income, user_account(withdrawal.user_id)
    lines = (
        Posting(user, "income", -income),
        Posting(held_account(withdrawal.id), "income", income),
    )
    answer = {"withdrawal_id": withdrawal.id, "income": income, "fen": withdrawal.fen}
    key = request_key(withdrawal.user_id, withdrawal.request_id)
    return JournalEntry(key, "withdrawal", withdrawal.user_id, lines, {"income": asked}, answer)
