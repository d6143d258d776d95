from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.gifts import gift_key, gift_postings, split_cost
from ledger.journal import HOUSE, Balance, Posting
from tests.support.ledger import TRANSFER, TRANSFER_WITHOUT_ID


def test_a_gift_costs_its_price_times_the_number() -> None:
    assert replace(TRANSFER, gold=66, num=9999).cost == 659_934
    assert replace(TRANSFER, gold=0, num=5).cost == 0


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
    assert replace(TRANSFER, gold=cost, num=1, rate=Decimal(rate)).receiver_income == earned


@pytest.mark.parametrize(
    ("cost", "balance", "paid"),
    [
        (5, (10, 10), (5, 0)),
        (10, (10, 10), (10, 0)),
        (11, (10, 10), (10, 1)),
        (20, (10, 10), (10, 10)),
        (3, (0, 10), (0, 3)),
        (0, (0, 0), (0, 0)),
    ],
)
def test_gold_is_spent_before_income(
    cost: int, balance: tuple[int, int], paid: tuple[int, int]
) -> None:
    assert split_cost(cost, Balance(*balance)) == Balance(*paid)


@pytest.mark.parametrize(("cost", "balance"), [(21, (10, 10)), (1, (0, 0))])
def test_a_cost_above_the_balance_cannot_be_paid(cost: int, balance: tuple[int, int]) -> None:
    assert split_cost(cost, Balance(*balance)) is None


def test_the_house_receives_the_cost_and_pays_the_income() -> None:
    assert gift_postings("1", "2", Balance(10, 1), 5) == (
        Posting("user:1", "gold", -10),
        Posting(HOUSE, "gold", 10),
        Posting("user:1", "income", -1),
        Posting(HOUSE, "income", 1),
        Posting("user:2", "income", 5),
        Posting(HOUSE, "income", -5),
    )


def test_a_free_gift_has_no_postings() -> None:
    assert gift_postings("1", "2", Balance(0, 0), 0) == ()


# ---- keys


def test_the_entry_key_consists_of_sender_and_request_id() -> None:
    assert TRANSFER.key == gift_key("anna", "r1") == "gift:anna:r1"
    assert replace(TRANSFER, sender="bert").key == "gift:bert:r1"
    assert replace(TRANSFER, receiver="carl", gold=1).key == TRANSFER.key


def test_a_gift_without_request_id_has_a_unique_key() -> None:
    keys = {replace(TRANSFER_WITHOUT_ID).key for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("gift:anna:~") for key in keys)
    assert TRANSFER_WITHOUT_ID.key == TRANSFER_WITHOUT_ID.key


def test_the_content_of_a_request_excludes_the_price() -> None:
    assert TRANSFER.content == {"to": "bert", "gift_id": 3, "num": 2}
    pricier = replace(TRANSFER, gold=99, rate=Decimal(1))
    assert pricier.content == TRANSFER.content


AMOUNTS = st.integers(0, 10**12)


@settings(derandomize=True, deadline=None, database=None)
@given(AMOUNTS, AMOUNTS, AMOUNTS, st.decimals(0, 2, places=4))
def test_payment_and_postings_of_a_gift_balance(
    cost: int, gold: int, income: int, rate: Decimal
) -> None:
    transfer = replace(TRANSFER, gold=cost, num=1, rate=rate)
    paid = split_cost(transfer.cost, Balance(gold, income))
    if cost > gold + income:
        assert paid is None
        return
    assert paid
    assert paid.gold + paid.income == cost
    assert 0 <= paid.gold <= gold
    assert 0 <= paid.income <= income
    assert paid.income == 0 or paid.gold == gold
    assert 0 <= cost * rate - transfer.receiver_income < 1
    sums: Counter[str] = Counter()
    for line in gift_postings("1", "2", paid, transfer.receiver_income):
        sums[line.unit] += line.amount
    assert not any(sums.values())
