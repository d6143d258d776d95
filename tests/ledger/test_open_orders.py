from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.recharge import (
    MAX_OPEN_ORDERS,
    OPEN_FOR,
    OpenOrder,
    find_repeated,
    free_slot,
    offer_key,
)
from tests.support.ledger import ORDER

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = OpenOrder(ORDER, block_id=1, slot=0, created_at=CREATED_AT)
SLOTS = st.sets(st.integers(0, MAX_OPEN_ORDERS - 1))


def test_an_order_with_another_number_is_a_repetition() -> None:
    assert find_repeated([OPEN], replace(ORDER, number="Q2"), 1) == OPEN
    assert find_repeated([], ORDER, 1) is None


@pytest.mark.parametrize(
    "change", [{"fen": 601}, {"gold": 61}, {"provider": "jsapi"}, {"sandbox": True}]
)
def test_an_order_at_another_price_or_provider_is_no_repetition(change: dict[str, object]) -> None:
    assert find_repeated([OPEN], replace(ORDER, **change), 1) is None  # type: ignore[arg-type]


def test_an_order_of_another_block_is_no_repetition() -> None:
    assert find_repeated([OPEN], ORDER, 2) is None


def test_orders_of_two_users_never_share_a_key() -> None:
    assert offer_key(ORDER, 1) != offer_key(replace(ORDER, user_id="bert"), 1)


def test_an_open_order_can_be_paid_for_a_quarter_of_an_hour_at_least() -> None:
    assert OPEN.expires_at - (CREATED_AT + OPEN_FOR) == timedelta(minutes=15)


@given(SLOTS)
def test_the_lowest_free_slot_is_given_until_all_are_occupied(occupied: set[int]) -> None:
    slot = free_slot([replace(OPEN, slot=it) for it in occupied])
    if len(occupied) == MAX_OPEN_ORDERS:
        assert slot is None
    else:
        assert slot is not None
        assert slot not in occupied
        assert set(range(slot)) <= occupied
