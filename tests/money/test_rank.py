from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from money.book import Entry, Heard, Kind, Purse
from money.gift import gift_lines
from money.rank import Mark, day_of, day_scope, live_scope, marks_of, span_of

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
HEARD = Heard(7, "e1", 42)
PAID = Purse(15, 5)


def entry(kind: Kind = "gift", paid: Purse = PAID, earned: int = 10) -> Entry:
    return Entry("key", kind, "anna", gift_lines("anna", "bert", paid, earned), {})


def test_a_gift_counts_for_both_on_its_day_and_in_its_live() -> None:
    assert list(marks_of(entry(), NOON, HEARD)) == [
        Mark("day:2026-03-01", "anna", 20, 0),
        Mark("live:7:e1", "anna", 20, 0),
        Mark("day:2026-03-01", "bert", 0, 10),
        Mark("live:7:e1", "bert", 0, 10),
    ]


def test_a_gift_that_no_room_heard_of_counts_on_its_day_only() -> None:
    assert list(marks_of(entry(), NOON, None)) == [
        Mark("day:2026-03-01", "anna", 20, 0),
        Mark("day:2026-03-01", "bert", 0, 10),
    ]


@pytest.mark.parametrize("kind", ["grant", "recharge", "reversal"])
def test_nothing_else_counts(kind: Kind) -> None:
    assert list(marks_of(entry(kind), NOON, HEARD)) == []


@pytest.mark.parametrize("paid", [Purse(20, 0), Purse(13, 7), Purse(0, 20)])
def test_what_is_paid_from_income_counts_as_gold_given_too(paid: Purse) -> None:
    giver, _ = marks_of(entry(paid=paid), NOON, None)
    assert giver == Mark("day:2026-03-01", "anna", 20, 0)


def test_whoever_earns_nothing_is_not_in_a_ranking() -> None:
    (giver,) = marks_of(entry(earned=0), NOON, None)
    assert giver.user_id == "anna"
    assert list(marks_of(entry(paid=Purse(0, 0), earned=0), NOON, HEARD)) == []


def test_who_gives_to_herself_has_given_and_taken() -> None:
    lines = gift_lines("anna", "anna", Purse(15, 5), 10)
    marks = marks_of(Entry("key", "gift", "anna", lines, {}), NOON, None)
    assert list(marks) == [Mark("day:2026-03-01", "anna", 20, 10)]


def test_the_names_of_rankings() -> None:
    assert day_scope(date(2026, 3, 1)) == "day:2026-03-01"
    assert live_scope(7, "e1") == "live:7:e1"


# ---- days


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2026, 3, 1, 15, 59, 59, 999_999, UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 1, 16, tzinfo=UTC), date(2026, 3, 2)),
        (datetime(2025, 12, 31, 16, tzinfo=UTC), date(2026, 1, 1)),
        (datetime(2026, 3, 1, 23, tzinfo=timezone(timedelta(hours=8))), date(2026, 3, 1)),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-8))), date(2026, 3, 2)),
    ],
)
def test_a_day_begins_at_midnight_in_china(at: datetime, day: date) -> None:
    assert day_of(at) == day
    assert {mark.scope for mark in marks_of(entry(), at, None)} == {day_scope(day)}


def test_how_long_a_day_lasts() -> None:
    start, end = span_of(date(2026, 3, 1))
    assert start == datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert end == datetime(2026, 3, 1, 16, tzinfo=UTC)


ZONES = st.builds(timezone, st.builds(timedelta, minutes=st.integers(-14 * 60, 14 * 60)))
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=ZONES)  # noqa: DTZ001


@settings(derandomize=True, deadline=None, database=None)
@given(TIMES)
def test_a_moment_is_within_its_day_and_the_next_day_begins_where_it_ends(at: datetime) -> None:
    day = day_of(at)
    start, end = span_of(day)
    assert start <= at < end
    assert day_of(start) == day_of(end - timedelta(microseconds=1)) == day
    assert span_of(day + timedelta(days=1))[0] == end


# ---- taking back


def test_a_mark_and_its_negative_leave_nothing() -> None:
    mark = Mark("day:2026-03-01", "anna", 20, 10)
    assert mark.negated() == Mark("day:2026-03-01", "anna", -20, -10)
    assert mark.negated().negated() == mark
