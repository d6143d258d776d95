from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import IncomeNotMatured, OverLimit, RealNameNeeded, TooLittle
from ledger.journal import Posting
from ledger.withdrawal_requests import (
    check_request,
    fen_of,
    matured_income,
    request_entry,
    split,
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


@example_settings(200)
@given(st.integers(20, 200_000), st.integers(0, 10**7), st.integers(2_021, 300_000))
def test_bills_are_equal_and_add_up_exactly(fen: int, income: int, bill_fen: int) -> None:
    bills = split(ID, fen, income, bill_fen)
    assert sum(bill.fen for bill in bills) == fen
    assert sum(bill.income for bill in bills) == income
    assert max(bill.fen for bill in bills) <= bill_fen
    assert max(bill.fen for bill in bills) - min(bill.fen for bill in bills) <= 1
    assert min(bill.income for bill in bills) >= 0
    assert len({bill.number for bill in bills}) == len(bills) == -(-fen // bill_fen)


def test_a_rest_of_a_few_fen_is_no_bill_of_its_own() -> None:
    assert [bill.fen for bill in split(ID, 20_001, 2_001, 20_000)] == [10_000, 10_001]


@pytest.mark.parametrize(
    ("income", "recent", "owed", "matured"),
    [(100, 0, 0, 100), (100, 40, 0, 60), (50, 40, 0, 10), (30, 40, 0, 0), (100, 40, 70, 0)],
)
def test_recent_income_and_debts_cannot_be_withdrawn(
    income: int, recent: int, owed: int, matured: int
) -> None:
    assert matured_income(income, recent, owed) == matured


@pytest.mark.parametrize(
    ("fen", "auto", "second", "operators"),
    [
        *((100, 0, 1000, 1), (100, 100, 1000, 0), (101, 100, 1000, 1), (1000, 0, 1000, 1)),
        *((1001, 0, 1000, 2), (1001, 2000, 1000, 0), (10**6, 0, 0, 1)),
    ],
)
def test_number_of_operators_depends_on_the_amount(
    fen: int, auto: int, second: int, operators: int
) -> None:
    limits = replace(LIMITS, auto_fen=auto, second_person_fen=second)
    assert limits.operators_needed(fen) == operators


def test_a_small_withdrawal_is_approved_by_itself() -> None:
    withdrawal = requested(auto_fen=1_000)
    assert (withdrawal.state, withdrawal.approvals) == ("approved", ())


def test_amounts_beyond_the_limits_are_refused() -> None:
    with pytest.raises(TooLittle):
        requested(9)
    assert requested(10).fen == 100
    with pytest.raises(TooLittle):
        requested(0)
    with pytest.raises(OverLimit, match="transfer"):
        requested(20_001)


def test_matured_income_and_the_limit_of_the_day_are_checked() -> None:
    withdrawal = requested(200)
    rest = {"user_day_fen": 198_000, "has_real_name": False}
    check_request(withdrawal, LIMITS, matured=200, **rest)
    with pytest.raises(IncomeNotMatured):
        check_request(withdrawal, LIMITS, matured=199, **rest)
    with pytest.raises(OverLimit, match="user_day"):
        check_request(withdrawal, LIMITS, matured=200, **{**rest, "user_day_fen": 198_001})


@pytest.mark.parametrize("bill_fen", [200_000, 20_000])
def test_a_large_withdrawal_needs_the_real_name_however_it_is_split(bill_fen: int) -> None:
    withdrawal = requested(20_000, bill_fen=bill_fen)
    assert not requested(19_999, bill_fen=bill_fen).needs_real_name
    amounts = {"matured": 20_000, "user_day_fen": 0}
    check_request(withdrawal, LIMITS, **amounts, has_real_name=True)
    with pytest.raises(RealNameNeeded):
        check_request(withdrawal, LIMITS, **amounts, has_real_name=False)


def test_the_entry_moves_the_income_into_the_hold() -> None:
    entry = request_entry(requested(), 105)
    assert (entry.key, entry.kind, entry.by) == ("withdrawal:anna:r1", "withdrawal", "anna")
    assert entry.lines == (
        Posting("user:anna", "income", -100),
        Posting(f"held:{ID}", "income", 100),
    )
    assert entry.content == {"income": 105}
    assert entry.answer == {"withdrawal_id": ID, "income": 100, "fen": 1_000}
