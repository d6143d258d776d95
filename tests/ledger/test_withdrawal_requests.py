from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import IncomeNotMatured, OverLimit, RealNameNeeded, TooLittle
from ledger.journal import Posting
from ledger.withdrawal_requests import (
    REQUESTS_PER_DAY,
    UserDay,
    accept_request,
    fen_of,
    matured_income,
    request_entry,
)
from tests.support.hypothesis_profiles import example_settings
from tests.support.withdrawals import ID, LIMITS, requested

RATES = st.decimals("0", "2", places=4)
INCOME = st.integers(0, 2**53)


@example_settings(200)
@given(INCOME, RATES)
def test_only_income_that_makes_whole_fen_is_held(income: int, rate: Decimal) -> None:
    fen, held = fen_of(income, rate)
    fen_per_income = Fraction(rate) * 100
    assert fen <= income * fen_per_income < fen + 1
    assert 0 <= held <= income
    assert fen_of(held, rate) == (fen, held), "what is held pays exactly these fen"
    assert held == 0 or (held - 1) * fen_per_income < fen, "one income less would not do"


@pytest.mark.parametrize(
    ("income", "recent", "owed", "matured"),
    [(100, 0, 0, 100), (100, 40, 0, 60), (50, 40, 0, 10), (30, 40, 0, 0), (100, 40, 70, 0)],
)
def test_recent_income_and_debts_cannot_be_withdrawn(
    income: int, recent: int, owed: int, matured: int
) -> None:
    assert matured_income(income, recent, owed) == matured


@pytest.mark.parametrize(
    ("fen", "earlier", "auto", "second", "operators"),
    [
        *((100, 0, 0, 1000, 1), (100, 0, 100, 1000, 0), (101, 0, 100, 1000, 1)),
        *((1000, 0, 0, 1000, 1), (1001, 0, 0, 1000, 2), (100, 900, 0, 1000, 1)),
        *((100, 901, 0, 1000, 2), (100, 901, 100, 1000, 2), (10**6, 10**6, 0, 0, 1)),
    ],
)
def test_a_second_operator_is_needed_by_the_sum_of_the_users_day(
    fen: int, earlier: int, auto: int, second: int, operators: int
) -> None:
    limits = replace(LIMITS, auto_fen=auto, second_person_fen=second)
    assert limits.operators_needed(fen, earlier + fen) == operators


def test_a_small_withdrawal_is_approved_by_itself() -> None:
    withdrawal = requested(auto_fen=1_000)
    assert (withdrawal.state, withdrawal.approvals) == ("approved", ())
    large_day = requested(auto_fen=1_000, earlier=UserDay(1, 99_001))
    assert (large_day.state, large_day.operators_needed) == ("requested", 2)


def test_amounts_beyond_the_limits_are_refused() -> None:
    with pytest.raises(TooLittle):
        requested(9)
    assert requested(10).fen == 100
    with pytest.raises(TooLittle):
        requested(0)
    with pytest.raises(OverLimit, match="transfer"):
        requested(20_001)


def accept(income: int, earlier: UserDay, *, matured: int = 20_000, has_name: bool = False) -> int:
    """The operators needed for a withdrawal of so much income, 10 fen each."""
    accepted = accept_request(
        requested(income), LIMITS, earlier, matured=matured, has_real_name=has_name
    )
    return accepted.operators_needed


def test_matured_income_and_the_limits_of_the_day_are_checked() -> None:
    accept(200, UserDay(19, 197_999))
    with pytest.raises(IncomeNotMatured):
        accept(200, UserDay(), matured=199)
    with pytest.raises(OverLimit, match="user_day"):
        accept(200, UserDay(1, 198_001))
    with pytest.raises(OverLimit, match="requests"):
        accept(200, UserDay(REQUESTS_PER_DAY, 0))


@pytest.mark.parametrize(("income", "earlier"), [(20_000, 0), (10, 199_900), (10_000, 100_000)])
def test_the_real_name_is_needed_by_the_sum_of_the_users_day(income: int, earlier: int) -> None:
    with pytest.raises(RealNameNeeded):
        accept(income, UserDay(1, earlier))
    accept(income, UserDay(1, earlier), has_name=True)
    accept(income - 1 if income > 10 else income, UserDay(1, max(0, earlier - 1)))


def test_the_entry_moves_the_income_into_the_hold() -> None:
    entry = request_entry(requested(), 105)
    assert (entry.key, entry.kind, entry.by) == ("withdrawal:anna:r1", "withdrawal", "anna")
    assert entry.lines == (
        Posting("user:anna", "income", -100),
        Posting(f"held:{ID}", "income", 100),
    )
    assert entry.content == {"income": 105}
    assert entry.answer == {"withdrawal_id": ID, "income": 100, "fen": 1_000}
