"""Gifts: cost and income, keys, batches and rankings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import day_interval, day_of
from ledger.gifts import (
    GiftBatch,
    RankingChange,
    day_scope,
    from_midnight,
    price_fields,
    ranking_changes,
    rate_from,
    row_at,
)
from ledger.journal import Balance, EventReference, JournalEntry, Kind, Posting, postings_for
from tests.support.hypothesis_profiles import example_settings
from tests.support.ledger_in_memory import TRANSFER

EVENT = EventReference(7, "e1", 42)
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)


# ---- cost and income


def test_only_a_number_above_zero_and_at_most_one_is_a_rate() -> None:
    for value in (0.3, "0.3", 1, "1.00", 1e-9):
        assert rate_from(value) == Decimal(str(value))
    others = (0, "0", -0.5, 1.01, True, None, "", "half", "NaN", "sNaN", "Infinity", [0.5], {})
    assert [value for value in others if rate_from(value) is not None] == []


@pytest.mark.parametrize(
    ("gold", "num", "rate", "earned"),
    [
        (66, 9999, "0.5", 329_967),
        (11, 1, "0.5", 5),
        (0, 5, "0.5", 0),
        (7, 1, "0", 0),
        (7, 1, "1", 7),
        (100, 1, "0.29", 29),  # in binary floats: 28
    ],
)
def test_the_receiver_earns_the_floor_of_cost_times_rate(
    gold: int, num: int, rate: str, earned: int
) -> None:
    transfer = replace(TRANSFER, gold=gold, num=num, rate=Decimal(rate))
    assert (transfer.cost, transfer.receiver_income) == (gold * num, earned)


def test_a_changed_rate_applies_from_the_next_midnight_in_china_on() -> None:
    row = {"key": "EXCHANGE_RATE", "value": 0.5, "enabled": True}
    midnight = NOON + timedelta(hours=12)
    waiting = {**row, "next": from_midnight({"value": 0.3}, NOON)}
    assert row_at(waiting, midnight - timedelta(seconds=1)) == waiting
    assert row_at(waiting, midnight) == row | {"value": 0.3}
    assert row_at(row, midnight) == row
    fields = [price_fields(other) for other in (row, {"key": "NOTICE"}, {"gold": 50, "fen": 600})]
    assert fields == [("value",), (), ("gold", "fen")]


# ---- keys


def test_the_key_and_content_of_a_request_exclude_the_price() -> None:
    pricier = replace(TRANSFER, gold=99, rate=Decimal(1))
    assert TRANSFER.key == pricier.key == "gift:anna:r1"
    assert TRANSFER.content == pricier.content == {"to": "bert", "gift_id": 3, "num": 2}
    assert replace(TRANSFER, sender="bert").key == "gift:bert:r1"


def test_a_gift_without_request_id_has_a_key_of_its_own() -> None:
    keys = {replace(TRANSFER, request_id="").key for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("gift:anna:~") for key in keys)


# ---- batches: test_properties.py compares repeated, refused and reused requests with a model


def test_a_gift_moves_gold_then_income_and_has_an_entry() -> None:
    batch = GiftBatch(NOON, {"anna": Balance(15, 10), "bert": Balance(0, 0)})
    answer = {"status": "success", "gold": 0, "income": 5}
    assert batch.give(TRANSFER, EVENT) == batch.find_answer(TRANSFER) == answer
    assert batch.balances == {"anna": Balance(0, 5), "bert": Balance(0, 10)}
    [(entry, event)] = batch.entries
    assert (entry.key, entry.kind, entry.by, event) == ("gift:anna:r1", "gift", "anna", EVENT)
    assert (entry.content, entry.answer) == (TRANSFER.content, answer)
    assert entry.lines == (
        Posting("user:anna", "gold", -15),
        Posting("house", "gold", 15),
        Posting("user:anna", "income", -5),
        Posting("house", "income", 5),
        Posting("user:bert", "income", 10),
        Posting("house", "income", -10),
    )


# ---- rankings


def entry(kind: Kind = "gift", receiver: str = "bert", earned: int = 10) -> JournalEntry:
    lines = postings_for("anna", -15, -5) + postings_for(receiver, 0, earned)
    return JournalEntry("key", kind, "anna", lines, {})


@pytest.mark.parametrize("event", [EVENT, None])
def test_a_gift_counts_for_both_users_by_day_and_by_live_if_in_a_room(
    event: EventReference | None,
) -> None:
    """Income that pays for a gift counts as gold given, too."""
    scopes = ["day:2026-03-01", *(["live:7:e1"] if event else [])]
    assert list(ranking_changes(entry(), NOON, event)) == [
        RankingChange(scope, user_id, given, received)
        for user_id, given, received in (("anna", 20, 0), ("bert", 0, 10))
        for scope in scopes
    ]


ZONES = st.builds(timezone, st.builds(timedelta, minutes=st.integers(-14 * 60, 14 * 60)))
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=ZONES)  # noqa: DTZ001


@example_settings(100)
@given(TIMES)
def test_days_begin_at_midnight_in_china_and_are_contiguous(at: datetime) -> None:
    day = day_of(at)
    start, end = day_interval(day)
    assert start == datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=8)
    assert start <= at < end
    assert day_of(start) == day_of(end - timedelta(microseconds=1)) == day
    assert day_interval(day + timedelta(days=1))[0] == end
    assert {change.scope for change in ranking_changes(entry(), at, None)} == {day_scope(day)}
