"""Rules of bills: what differs, and which periods are compared."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.bills import BillType, Difference, Movement, compare

DAILY = BillType("trade", "jsapi", ("payment", "refund"), ("trade",))
MONTHLY = BillType("ios", "xpay", ("payment",), ("ios",), is_monthly=True)


def moved(fen: int | None = 600, state: Any = "done", **more: Any) -> Movement:
    return Movement("refund", "R1", fen, state, **more)


@pytest.mark.parametrize(
    ("there", "here", "kind"),
    [
        (moved(), moved(), None),
        (moved(None), moved(), None),
        (moved(), None, "missing_here"),
        (moved(), moved(state="open"), "missing_here"),
        (moved(601), moved(), "other_amount"),
        (moved(601), moved(state="open"), "other_amount"),
        (moved(500), moved(charged_fen=500), None),
        (moved(), moved(charged_fen=500), None),
        (moved(550), moved(charged_fen=500), "other_amount"),
        (moved(wechat_number="42"), moved(wechat_number="42"), None),
        (moved(wechat_number="42"), moved(), None),
        (moved(), moved(wechat_number="42"), None),
        (moved(wechat_number="43"), moved(wechat_number="42"), "other_number"),
        (moved(601, wechat_number="43"), moved(wechat_number="42"), "other_number"),
        (moved(state="failed", wechat_number="43"), moved(wechat_number="42"), "other_state"),
        (moved(), moved(state="failed"), "other_state"),
        (moved(state="failed"), moved(), "other_state"),
        (moved(601, "failed"), moved(state="open"), None),
        (moved(state="failed"), moved(state="failed"), None),
        (moved(state="failed"), None, None),
        (None, moved(), "missing_there"),
        (None, None, None),
    ],
)
def test_a_movement_in_a_bill_agrees_with_its_booking_or_differs(there, here, kind):
    difference = compare(there, here)
    assert (difference and difference.kind) == kind


def test_a_difference_names_both_sides():
    here = Movement("payment", "Q1", 600, user_id="10000001")
    there = Movement("payment", "420", 700, wechat_number="420")
    known = Difference("other_amount", "payment", "Q1", "", "10000001", 700, 600)
    assert compare(there, here) == known
    second = Difference("other_number", "payment", "Q1", "", "10000001", 700, 600, "420")
    assert compare(there, here._replace(wechat_number="421")) == second
    lone = Difference("missing_here", "refund", "R1", "Q1", "", 600, None)
    assert compare(moved(order="Q1"), None) == lone
    assert compare(None, here) == Difference(
        "missing_there", "payment", "Q1", "", "10000001", None, 600
    )


def test_the_bill_of_a_day_is_there_from_ten_in_the_morning_of_the_next_in_china():
    ten = datetime(2026, 11, 28, 2, tzinfo=UTC)
    assert DAILY.periods(ten)[-2:] == ["2026-11-26", "2026-11-27"]
    assert DAILY.periods(ten - timedelta(seconds=1))[-1] == "2026-11-26"
    assert len({*DAILY.periods(ten)}) == 14
    may = datetime(2027, 2, 1, 2, tzinfo=UTC)
    assert MONTHLY.periods(may) == ["2026-10", "2026-11", "2026-12", "2027-01"]


def test_what_is_booked_just_before_midnight_may_be_in_the_next_bill():
    start, end = DAILY.expected("2026-11-27")
    assert start == datetime(2026, 11, 26, 15, 50, tzinfo=UTC)
    assert end == DAILY.expected("2026-11-28")[0]


def test_a_bill_of_apple_completes_the_month_before():
    start, end = MONTHLY.expected("2026-03")
    assert (start, end) == (
        datetime(2026, 1, 31, 16, tzinfo=UTC),
        datetime(2026, 2, 28, 16, tzinfo=UTC),
    )
