"""Journal entries, recharges: open orders, payments and refunds."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import ReportRefused
from ledger.journal import HOUSE, JournalEntry, Posting
from ledger.recharge import (
    MAX_OPEN_ORDERS,
    OpenOrder,
    Payment,
    Refund,
    check_payment,
    check_refund,
    counts_as_ios,
    find_repeated,
    free_slot,
    gold_to_reverse,
    recharge_entry,
    reversal_entry,
)
from tests.support.hypothesis_profiles import example_settings
from tests.support.ledger_in_memory import ORDER, PAYMENT

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = OpenOrder(ORDER, block_id=1, slot=0, created_at=CREATED_AT)
REFUND = Refund("xpay", "Q1", "R1", 600)


# ---- the journal


@pytest.mark.parametrize(
    "lines",
    [
        (Posting("user:1", "gold", 1),),
        (Posting("user:1", "gold", 2), Posting(HOUSE, "gold", -1)),
        (Posting("user:1", "gold", 1), Posting(HOUSE, "income", -1)),
    ],
)
def test_an_entry_must_sum_to_zero_per_unit(lines: tuple[Posting, ...]) -> None:
    with pytest.raises(ValueError, match="the lines of key do not sum to zero"):
        JournalEntry("key", "grant", "ops", lines, {})


# ---- open orders


def test_an_order_with_another_number_is_a_repetition() -> None:
    assert find_repeated([OPEN], replace(ORDER, number="Q2"), 1) == OPEN
    assert find_repeated([], ORDER, 1) is None


@pytest.mark.parametrize(
    "change",
    [{"user_id": "bert"}, {"fen": 601}, {"gold": 61}, {"provider": "jsapi"}, {"sandbox": True}, {}],
)
def test_an_order_of_another_user_block_price_or_provider_is_no_repetition(
    change: dict[str, object],
) -> None:
    other, block_id = replace(ORDER, **change), 1 if change else 2
    assert find_repeated([OPEN], other, block_id) is None


@example_settings(100)
@given(st.sets(st.integers(0, MAX_OPEN_ORDERS - 1)))
def test_the_lowest_free_slot_is_given_until_all_are_occupied(occupied: set[int]) -> None:
    slot = free_slot([replace(OPEN, slot=taken) for taken in occupied])
    if len(occupied) == MAX_OPEN_ORDERS:
        assert slot is None
    else:
        assert slot is not None
        assert slot not in occupied
        assert set(range(slot)) <= occupied


# ---- payments


def test_a_payment_that_matches_its_order_is_accepted() -> None:
    check_payment(ORDER, PAYMENT)
    check_payment(ORDER, Payment("xpay", "Q1", "", 600))  # the provider sends nothing else
    check_payment(ORDER, replace(PAYMENT, paid_fen=500))  # a discount by WeChat
    check_payment(replace(ORDER, openid=""), PAYMENT)  # a user who was deleted


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
        ("amount", {"quantity": 2}),
    ],
)
def test_a_payment_that_does_not_match_is_refused_with_a_reason(
    reason: str, other: dict[str, object]
) -> None:
    with pytest.raises(ReportRefused) as refused:
        check_payment(ORDER, replace(PAYMENT, **other))
    assert (refused.value.reason, str(refused.value)) == (reason, reason)


def test_recharged_gold_comes_from_the_house() -> None:
    entry = recharge_entry(ORDER, PAYMENT)
    assert (entry.key, entry.kind, entry.by) == ("recharge:Q1", "recharge", "xpay")
    assert entry.lines == (Posting("user:anna", "gold", 60), Posting("house", "gold", -60))
    assert entry.content == {"to": "anna", "gold": 60, "fen": 600, "transaction": "42"}


def test_a_payment_without_a_transaction_of_wechat_counts_as_ios_whatever_the_client_says() -> None:
    by_apple = replace(PAYMENT, transaction="")
    for platform, payment, counts in (
        ("", PAYMENT, False),
        ("android", by_apple, True),
        ("ios", PAYMENT, True),
    ):
        assert counts_as_ios(replace(ORDER, platform=platform), payment) == counts
    assert not counts_as_ios(replace(ORDER, provider="jsapi", platform="ios"), by_apple)


# ---- refunds


@pytest.mark.parametrize(("available", "taken", "owed"), [(100, 60, 0), (25, 25, 35), (0, 0, 60)])
def test_a_full_refund_takes_all_gold_and_records_the_rest_as_debt(
    available: int, taken: int, owed: int
) -> None:
    assert gold_to_reverse(ORDER, REFUND, 0) == 60
    entry = reversal_entry(ORDER, REFUND, 60, available)
    lines = (("user:anna", -taken), ("owed:anna", -owed), ("house", 60))
    assert entry.lines == tuple(Posting(name, "gold", n) for name, n in lines if n)
    assert (entry.key, entry.kind, entry.by) == ("reversal:xpay:R1", "reversal", "xpay")
    assert entry.content == {"reverses": "recharge:Q1", "fen": 600, "gold": 60}


@pytest.mark.parametrize(
    ("reason", "refund", "before"),
    [
        ("provider", replace(REFUND, provider="jsapi"), 0),
        ("payer", replace(REFUND, openid="o2"), 0),
        ("amount", replace(REFUND, fen=601), 0),
        ("amount", replace(REFUND, fen=0), 0),
        ("amount", replace(REFUND, fen=2), 599),
    ],
)
def test_a_refund_that_does_not_match_is_refused(reason: str, refund: Refund, before: int) -> None:
    with pytest.raises(ReportRefused, match=reason):
        check_refund(ORDER, refund, before)


def test_matching_refunds_of_a_discounted_payment_add_up_to_all_its_gold() -> None:
    order = replace(ORDER, paid_fen=500)
    assert gold_to_reverse(order, replace(REFUND, fen=500), 0) == 60
    assert gold_to_reverse(order, replace(REFUND, fen=250), 0) == 30
    assert gold_to_reverse(order, replace(REFUND, fen=250), 250) == 30
    check_refund(order, replace(REFUND, fen=250), 250)
    with pytest.raises(ReportRefused, match="amount"):
        check_refund(order, replace(REFUND, fen=251), 250)
    check_refund(replace(ORDER, openid=""), replace(REFUND, openid="o1"), 0)  # a deleted user
