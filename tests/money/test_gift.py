from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from money.book import HOUSE, Line, Purse
from money.gift import Present, gift_key, gift_lines, price

ROSE = Present("anna", "bert", gift_id=3, gold=10, num=2, rate=Decimal("0.5"), request_id="r1")
NO_ID = replace(ROSE, request_id="")


def test_a_gift_costs_its_price_times_the_number() -> None:
    assert replace(ROSE, gold=66, num=9999).cost == 659_934
    assert replace(ROSE, gold=0, num=5).cost == 0


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
    assert replace(ROSE, gold=cost, num=1, rate=Decimal(rate)).earned == earned


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
def test_gold_is_taken_first_and_then_income(
    cost: int, purse: tuple[int, int], paid: tuple[int, int]
) -> None:
    assert price(cost, Purse(*purse)) == Purse(*paid)


@pytest.mark.parametrize(("cost", "purse"), [(21, (10, 10)), (1, (0, 0))])
def test_nobody_pays_more_than_they_have(cost: int, purse: tuple[int, int]) -> None:
    assert price(cost, Purse(*purse)) is None


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


# ---- what makes it happen once


def test_a_request_id_names_the_entry_within_its_sender() -> None:
    assert ROSE.key == gift_key("anna", "r1") == "gift:anna:r1"
    assert replace(ROSE, sender="bert").key == "gift:bert:r1"
    assert replace(ROSE, receiver="carl", gold=1).key == ROSE.key


def test_without_a_request_id_every_present_has_a_key_of_its_own() -> None:
    keys = {replace(NO_ID).key for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("gift:anna:~") for key in keys)
    assert NO_ID.key == NO_ID.key


def test_what_was_asked_for_says_nothing_of_the_price() -> None:
    assert ROSE.content == {"to": "bert", "gift_id": 3, "num": 2}
    dearer = replace(ROSE, gold=99, rate=Decimal(1))
    assert (dearer.content, dearer.likeness) == (ROSE.content, ROSE.likeness)


def test_identical_gifts_are_alike_whatever_their_ids_and_no_others_are() -> None:
    assert NO_ID.likeness == ROSE.likeness
    others = [
        replace(ROSE, sender="carl"),
        replace(ROSE, receiver="carl"),
        replace(ROSE, gift_id=4),
        replace(ROSE, num=1),
    ]
    assert len({present.likeness for present in (ROSE, *others)}) == 5


def test_only_without_a_request_id_and_with_a_window_may_a_gift_be_a_retry() -> None:
    assert replace(NO_ID, repeat_ms=1).may_be_a_retry
    assert not NO_ID.may_be_a_retry
    assert not replace(ROSE, repeat_ms=1).may_be_a_retry


AMOUNTS = st.integers(0, 10**12)


@settings(derandomize=True, deadline=None, database=None)
@given(AMOUNTS, AMOUNTS, AMOUNTS, st.decimals(0, 2, places=4))
def test_every_unit_of_a_gift_is_accounted_for(
    cost: int, gold: int, income: int, rate: Decimal
) -> None:
    present = replace(ROSE, gold=cost, num=1, rate=rate)
    paid = price(present.cost, Purse(gold, income))
    if cost > gold + income:
        assert paid is None
        return
    assert paid
    assert paid.gold + paid.income == cost
    assert 0 <= paid.gold <= gold
    assert 0 <= paid.income <= income
    assert paid.income == 0 or paid.gold == gold
    assert 0 <= cost * rate - present.earned < 1
    sums: Counter[str] = Counter()
    for line in gift_lines("1", "2", paid, present.earned):
        sums[line.unit] += line.amount
    assert not any(sums.values())
