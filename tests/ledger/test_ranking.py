from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import day_interval, day_of
from ledger.gifts import RankingChange, day_scope, gift_postings, live_scope, ranking_changes
from ledger.journal import Balance, EventReference, JournalEntry, Kind

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
EVENT = EventReference(7, "e1", 42)
PAID = Balance(15, 5)


def entry(kind: Kind = "gift", paid: Balance = PAID, earned: int = 10) -> JournalEntry:
    return JournalEntry("key", kind, "anna", gift_postings("anna", "bert", paid, earned), {})


def test_a_gift_counts_for_both_users_by_day_and_live() -> None:
    assert list(ranking_changes(entry(), NOON, EVENT)) == [
        RankingChange("day:2026-03-01", "anna", 20, 0),
        RankingChange("live:7:e1", "anna", 20, 0),
        RankingChange("day:2026-03-01", "bert", 0, 10),
        RankingChange("live:7:e1", "bert", 0, 10),
    ]


def test_a_gift_outside_a_room_counts_by_day_only() -> None:
    assert list(ranking_changes(entry(), NOON, None)) == [
        RankingChange("day:2026-03-01", "anna", 20, 0),
        RankingChange("day:2026-03-01", "bert", 0, 10),
    ]


@pytest.mark.parametrize("kind", ["grant", "recharge", "reversal"])
def test_other_entries_do_not_count(kind: Kind) -> None:
    assert list(ranking_changes(entry(kind), NOON, EVENT)) == []


@pytest.mark.parametrize("paid", [Balance(20, 0), Balance(13, 7), Balance(0, 20)])
def test_gifts_paid_from_income_count_as_gold_given(paid: Balance) -> None:
    sender, _ = ranking_changes(entry(paid=paid), NOON, None)
    assert sender == RankingChange("day:2026-03-01", "anna", 20, 0)


def test_a_receiver_without_income_is_not_ranked() -> None:
    (sender,) = ranking_changes(entry(earned=0), NOON, None)
    assert sender.user_id == "anna"
    assert list(ranking_changes(entry(paid=Balance(0, 0), earned=0), NOON, EVENT)) == []


def test_a_gift_to_oneself_counts_as_given_and_received() -> None:
    lines = gift_postings("anna", "anna", Balance(15, 5), 10)
    changes = ranking_changes(JournalEntry("key", "gift", "anna", lines, {}), NOON, None)
    assert list(changes) == [RankingChange("day:2026-03-01", "anna", 20, 10)]


def test_names_of_ranking_scopes() -> None:
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
    assert {change.scope for change in ranking_changes(entry(), at, None)} == {day_scope(day)}


def test_a_day_is_an_interval_of_24_hours() -> None:
    start, end = day_interval(date(2026, 3, 1))
    assert start == datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert end == datetime(2026, 3, 1, 16, tzinfo=UTC)


ZONES = st.builds(timezone, st.builds(timedelta, minutes=st.integers(-14 * 60, 14 * 60)))
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=ZONES)  # noqa: DTZ001


@settings(derandomize=True, deadline=None, database=None)
@given(TIMES)
def test_a_time_lies_in_its_day_and_days_are_contiguous(at: datetime) -> None:
    day = day_of(at)
    start, end = day_interval(day)
    assert start <= at < end
    assert day_of(start) == day_of(end - timedelta(microseconds=1)) == day
    assert day_interval(day + timedelta(days=1))[0] == end


# ---- reversals


def test_negating_a_ranking_change_twice_restores_it() -> None:
    change = RankingChange("day:2026-03-01", "anna", 20, 10)
    assert change.negated() == RankingChange("day:2026-03-01", "anna", -20, -10)
    assert change.negated().negated() == change
