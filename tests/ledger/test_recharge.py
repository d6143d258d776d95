from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.journal import Posting
from ledger.recharge import (
    Payment,
    PaymentRefused,
    Refund,
    check_payment,
    check_refund,
    gold_to_reverse,
    recharge_entry,
    reversal_entry,
)
from tests.support.ledger import ORDER, PAYMENT


def test_a_payment_that_matches_its_order_is_accepted() -> None:
    check_payment(ORDER, PAYMENT)
    check_payment(ORDER, Payment("xpay", "Q1", "", 600))  # the provider sends nothing else


@pytest.mark.parametrize(
    ("reason", "other"),
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
def test_a_payment_that_does_not_match_is_refused_with_a_reason(
    reason: str, other: dict[str, object]
) -> None:
    with pytest.raises(PaymentRefused) as refused:
        check_payment(ORDER, replace(PAYMENT, **other))  # type: ignore[arg-type]
    assert (refused.value.reason, str(refused.value)) == (reason, reason)


def test_recharged_gold_comes_from_the_house() -> None:
    entry = recharge_entry(ORDER, PAYMENT)
    assert (entry.key, entry.kind, entry.by) == ("recharge:Q1", "recharge", "xpay")
    assert entry.lines == (Posting("user:anna", "gold", 60), Posting("house", "gold", -60))
    assert entry.content == {"to": "anna", "gold": 60, "fen": 600, "transaction": "42"}


# ---- refunds

REFUND = Refund("xpay", "Q1", "R1", 600)


def test_a_full_refund_takes_all_gold_and_records_the_rest_as_debt() -> None:
    assert gold_to_reverse(ORDER, REFUND, 0) == 60
    entry = reversal_entry(ORDER, REFUND, 60, available=100)
    assert entry.lines == (Posting("user:anna", "gold", -60), Posting("house", "gold", 60))
    entry = reversal_entry(ORDER, REFUND, 60, available=25)
    assert entry.lines == (
        Posting("user:anna", "gold", -25),
        Posting("owed:anna", "gold", -35),
        Posting("house", "gold", 60),
    )
    assert reversal_entry(ORDER, REFUND, 60, available=0).lines[0] == Posting(
        "owed:anna", "gold", -60
    )
    assert (entry.key, entry.kind, entry.by) == ("reversal:xpay:R1", "reversal", "xpay")
    assert entry.content == {"reverses": "recharge:Q1", "fen": 600, "gold": 60}


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(1, 1000))
def test_partial_refunds_reverse_all_the_gold_in_total(amounts: list[int], gold: int) -> None:
    order = replace(ORDER, fen=sum(amounts), gold=gold)
    before, reversed_gold = 0, []
    for number, fen in enumerate(amounts):
        refund = replace(REFUND, refund=str(number), fen=fen)
        check_refund(order, refund, before)
        reversed_gold.append(gold_to_reverse(order, refund, before))
        before += fen
    assert sum(reversed_gold) == gold
    assert all(amount >= 0 for amount in reversed_gold)


@pytest.mark.parametrize(
    ("reason", "refund", "before"),
    [
        ("provider", replace(REFUND, provider="jsapi"), 0),
        ("amount", replace(REFUND, fen=601), 0),
        ("amount", replace(REFUND, fen=0), 0),
        ("amount", replace(REFUND, fen=2), 599),
    ],
)
def test_a_refund_above_the_payment_is_refused(reason: str, refund: Refund, before: int) -> None:
    with pytest.raises(PaymentRefused, match=reason):
        check_refund(ORDER, refund, before)
