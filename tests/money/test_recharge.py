from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from money.book import Line
from money.recharge import (
    Order,
    Payment,
    PaymentRefused,
    Refund,
    check,
    check_refund,
    entry_of,
    gold_back,
    reversal_of,
)

ORDER = Order("Q1", "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
PAYMENT = Payment("xpay", "Q1", "42", 600, openid="o1", app_id="wx1", product="gold_60")


def test_a_payment_that_is_its_orders_is_good() -> None:
    check(ORDER, PAYMENT)
    check(ORDER, Payment("xpay", "Q1", "", 600))  # a provider that says no more than that


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("provider", {"provider": "jsapi"}),
        ("app", {"app_id": "wx2"}),
        ("payer", {"openid": "o2"}),
        ("payer", {"openid": ""}),
        ("sandbox", {"sandbox": True}),
        ("product", {"product": "gold_6"}),
        ("currency", {"currency": "USD"}),
        ("amount", {"fen": 599}),
        ("amount", {"fen": 60_000}),
    ],
)
def test_a_payment_that_is_not_is_refused_with_a_word(word: str, other: dict[str, object]) -> None:
    with pytest.raises(PaymentRefused) as refused:
        check(ORDER, replace(PAYMENT, **other))  # type: ignore[arg-type]
    assert (refused.value.word, str(refused.value)) == (word, word)


def test_gold_comes_from_the_house() -> None:
    entry = entry_of(ORDER, PAYMENT)
    assert (entry.key, entry.kind, entry.by) == ("recharge:Q1", "recharge", "xpay")
    assert entry.lines == (Line("user:anna", "gold", 60), Line("house", "gold", -60))
    assert entry.content == {"to": "anna", "gold": 60, "fen": 600, "transaction": "42"}


# ---- giving back

REFUND = Refund("xpay", "Q1", "R1", 600)


def test_a_refund_of_all_takes_all_the_gold_and_the_rest_is_owed() -> None:
    assert gold_back(ORDER, REFUND, 0) == 60
    entry = reversal_of(ORDER, REFUND, 60, has=100)
    assert entry.lines == (Line("user:anna", "gold", -60), Line("house", "gold", 60))
    entry = reversal_of(ORDER, REFUND, 60, has=25)
    assert entry.lines == (
        Line("user:anna", "gold", -25),
        Line("owed:anna", "gold", -35),
        Line("house", "gold", 60),
    )
    assert reversal_of(ORDER, REFUND, 60, has=0).lines[0] == Line("owed:anna", "gold", -60)
    assert (entry.key, entry.kind, entry.by) == ("reversal:xpay:R1", "reversal", "xpay")
    assert entry.content == {"reverses": "recharge:Q1", "fen": 600, "gold": 60}


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(1, 1000))
def test_parts_of_the_money_are_parts_of_the_gold_and_together_all_of_it(
    parts: list[int], gold: int
) -> None:
    order = replace(ORDER, fen=sum(parts), gold=gold)
    before, back = 0, []
    for number, fen in enumerate(parts):
        refund = replace(REFUND, refund=str(number), fen=fen)
        check_refund(order, refund, before)
        back.append(gold_back(order, refund, before))
        before += fen
    assert sum(back) == gold
    assert all(one >= 0 for one in back)


@pytest.mark.parametrize(
    ("word", "refund", "before"),
    [
        ("provider", replace(REFUND, provider="jsapi"), 0),
        ("amount", replace(REFUND, fen=601), 0),
        ("amount", replace(REFUND, fen=0), 0),
        ("amount", replace(REFUND, fen=2), 599),
    ],
)
def test_more_than_was_paid_is_not_given_back(word: str, refund: Refund, before: int) -> None:
    with pytest.raises(PaymentRefused, match=word):
        check_refund(ORDER, refund, before)
