from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from money.book import HOUSE, Line, Purse
from money.gift import cost_of, earning, gift_lines, pay
from money.refusals import InsufficientGold


def test_a_gift_costs_its_price_times_the_number() -> None:
    assert cost_of(66, 9999) == 659_934
    assert cost_of(0, 5) == 0


@pytest.mark.parametrize(
    ("cost", "rate", "earned"),
    [
        (10, "0.5", 5),
        (11, "0.5", 5),
        (1, "0.5", 0),
        (0, "0.5", 0),
        (7, "0", 0),
        (7, "1", 7),
        (3, "1.5", 4),
        (10, "0.3", 3),
        (100, "0.29", 29),  # in binary floats: 28
        (9_999, "0.3333", 3332),
    ],
)
def test_the_receiver_earns_the_floor_of_cost_times_rate(cost: int, rate: str, earned: int) -> None:
    assert earning(cost, Decimal(rate)) == earned


@pytest.mark.parametrize(
    ("cost", "purse", "paid"),
    [
        (5, (10, 10), (5, 0)),
        (10, (10, 10), (10, 0)),
        (11, (10, 10), (10, 1)),
        (20, (10, 10), (10, 10)),
        (3, (0, 10), (0, 3)),
        (0, (0, 0), (0, 0)),
    ],
)
def test_gold_is_taken_first_and_then_income(cost: int, purse, paid) -> None:
    assert pay(cost, Purse(*purse)) == Purse(*paid)


@pytest.mark.parametrize(("cost", "purse"), [(21, (10, 10)), (1, (0, 0))])
def test_nobody_pays_more_than_they_have(cost: int, purse) -> None:
    with pytest.raises(InsufficientGold):
        pay(cost, Purse(*purse))


def test_the_cost_goes_to_the_house_and_the_earning_comes_from_it() -> None:
    assert gift_lines("1", "2", Purse(10, 1), 5) == (
        Line("user:1", "gold", -10),
        Line(HOUSE, "gold", 10),
        Line("user:1", "income", -1),
        Line(HOUSE, "income", 1),
        Line("user:2", "income", 5),
        Line(HOUSE, "income", -5),
    )


def test_a_gift_that_costs_nothing_moves_nothing() -> None:
    assert gift_lines("1", "2", Purse(0, 0), 0) == ()


AMOUNTS = st.integers(0, 10**12)


@settings(derandomize=True, deadline=None, database=None)
@given(AMOUNTS, AMOUNTS, AMOUNTS, st.decimals(0, 2, places=4))
def test_every_unit_of_a_gift_is_accounted_for(
    cost: int, gold: int, income: int, rate: Decimal
) -> None:
    purse = Purse(gold, income)
    if cost > gold + income:
        with pytest.raises(InsufficientGold):
            pay(cost, purse)
        return
    paid, earned = pay(cost, purse), earning(cost, rate)
    assert paid.gold + paid.income == cost
    assert 0 <= paid.gold <= gold
    assert 0 <= paid.income <= income
    assert paid.income == 0 or paid.gold == gold
    assert 0 <= cost * rate - earned < 1
    sums: Counter[str] = Counter()
    for line in gift_lines("1", "2", paid, earned):
        sums[line.unit] += line.amount
    assert not any(sums.values())
