"""Rules of a request to withdraw income: amount, limits, bills and the income held."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from ledger.bills import Bill, WithdrawalState
from ledger.errors import IncomeNotMatured, OverLimit, RealNameNeeded, TooLittle
from ledger.journal import JournalEntry, Posting, held_account, user_account
from ledger.withdrawal_entries import withdrawal_key
from ledger.withdrawals import Withdrawal

MAX_BILLS = 99
"""Bills of a withdrawal: a bill number is the id and two digits."""


@dataclass(frozen=True, slots=True)
class WithdrawalLimits:
    """Limits in fen, and who has to approve a withdrawal; see `withdraw` of the settings."""

    min_fen: int
    bill_fen: int
    """The most that one bill pays."""
    transfer_fen: int
    """The most of one withdrawal."""
    user_day_fen: int
    day_fen: int
    auto_fen: int
    """Up to this, no operator has to approve; 0: always."""
    second_person_fen: int
    """Above this, two operators have to approve; 0: never."""

    def operators_needed(self, fen: int) -> int:
        """Operators who have to approve a withdrawal of `fen`."""
        if fen <= self.auto_fen:
            return 0
        return 2 if 0 < self.second_person_fen < fen else 1


@dataclass(frozen=True, slots=True)
class Payee:
    """Who withdraws; `openid` is the user's under `app_id`."""

    user_id: str
    app_id: str
    openid: str


def matured_income(income: int, recent: int, owed: int) -> int:
    """Income that can be withdrawn: without credits of `recent` gifts, and without the debt.

    Spending takes the oldest income first, so that recent income is never paid out early.
    """
    return max(0, income - recent - owed)


def fen_of(income: int, rate: Decimal) -> tuple[int, int]:
    """(fen, income) that a request pays and holds; what does not make a fen stays income."""
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
    """The withdrawal of at most `income`, in equal bills; approved if no operator is needed.

    Raises TooLittle, and OverLimit with "transfer".
    """
    fen, held = fen_of(income, rate)
    if fen < limits.min_fen:
        raise TooLittle(f"The least amount is {limits.min_fen} fen.")
    if fen > limits.transfer_fen:
        raise OverLimit("transfer")
    bills = split(id_, fen, held, limits.bill_fen)
    needed = limits.operators_needed(fen)
    user, app, openid = payee.user_id, payee.app_id, payee.openid
    withdrawal = Withdrawal(
        id_, user, app, openid, request_id, held, fen, rate, now, bills, operators_needed=needed
    )
    if needed:
        return withdrawal
    approved = (replace(bill, state=WithdrawalState.APPROVED) for bill in bills)
    return replace(withdrawal, bills=tuple(approved))


def split(id_: str, fen: int, income: int, bill_fen: int) -> tuple[Bill, ...]:
    """As few bills as possible, of about equal fen; their fen and their income add up exactly.

    Equal ones, because WeChat Pay refuses a rest of a few fen.
    """
    count = -(-fen // bill_fen)
    ends = [fen * position // count for position in range(count + 1)]
    incomes = [income * end // fen for end in ends]
    return tuple(
        Bill(f"{id_}{i + 1:02}", ends[i + 1] - ends[i], incomes[i + 1] - incomes[i])
        for i in range(count)
    )


def check_request(
    withdrawal: Withdrawal,
    limits: WithdrawalLimits,
    *,
    matured: int,
    user_day_fen: int,
    has_real_name: bool,
) -> None:
    """Check a new withdrawal, after `user_day_fen` of the same user and day.

    Raises RealNameNeeded, IncomeNotMatured, and OverLimit with "user_day".
    """
    if withdrawal.needs_real_name and not has_real_name:
        raise RealNameNeeded
    if withdrawal.income > matured:
        raise IncomeNotMatured
    if withdrawal.fen > limits.user_day_fen - user_day_fen:
        raise OverLimit("user_day")


def request_entry(withdrawal: Withdrawal, asked: int) -> JournalEntry:
    """Moves the income into the hold; `asked` is the income that the client sent."""
    income, user = withdrawal.income, user_account(withdrawal.user_id)
    lines = (
        Posting(user, "income", -income),
        Posting(held_account(withdrawal.id), "income", income),
    )
    answer = {"withdrawal_id": withdrawal.id, "income": income, "fen": withdrawal.fen}
    key = withdrawal_key(withdrawal.user_id, withdrawal.request_id)
    return JournalEntry(key, "withdrawal", withdrawal.user_id, lines, {"income": asked}, answer)
