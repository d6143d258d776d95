"""Gifts: cost and income, keys, batches and rankings."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import day_interval, day_of
from ledger.errors import InsufficientGold, RequestIdReused
from ledger.gifts import (
    BalanceChange,
    GiftBatch,
    RankingChange,
    day_scope,
    gift_postings,
    live_scope,
    ranking_changes,
    split_cost,
)
from ledger.journal import Balance, EventReference, JournalEntry, JsonObject, Kind, Posting
from ledger.rates import rate_from
from tests.support.hypothesis_profiles import example_settings
from tests.support.ledger import TRANSFER, TRANSFER_WITHOUT_ID

EVENT = EventReference(7, "e1", 42)
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
DAY = "day:2026-03-01"


# ---- cost and income


@pytest.mark.parametrize("value", [0.3, "0.3", 1, "1.00", 1e-9])
def test_a_number_above_zero_and_at_most_one_is_a_rate(value: object) -> None:
    assert rate_from(value) == Decimal(str(value))


@pytest.mark.parametrize(
    "value", [0, "0", -0.5, 1.01, True, None, "", "half", "NaN", "sNaN", "Infinity", [0.5], {}]
)
def test_any_other_value_is_no_rate(value: object) -> None:
    assert rate_from(value) is None


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


@pytest.mark.parametrize(
    ("cost", "paid"), [(0, (0, 0)), (5, (5, 0)), (11, (10, 1)), (20, (10, 10)), (21, None)]
)
def test_gold_is_spent_before_income(cost: int, paid: tuple[int, int] | None) -> None:
    assert split_cost(cost, Balance(10, 10)) == paid


AMOUNTS = st.integers(0, 10**12)


@example_settings(100)
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


# ---- keys


def test_the_key_and_content_of_a_request_exclude_the_price() -> None:
    pricier = replace(TRANSFER, gold=99, rate=Decimal(1))
    assert TRANSFER.key == pricier.key == "gift:anna:r1"
    assert TRANSFER.content == pricier.content == {"to": "bert", "gift_id": 3, "num": 2}
    assert replace(TRANSFER, sender="bert").key == "gift:bert:r1"


def test_a_gift_without_request_id_has_a_key_of_its_own() -> None:
    keys = {replace(TRANSFER_WITHOUT_ID).key for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("gift:anna:~") for key in keys)


# ---- batches: test_properties.py compares repeated, refused and reused requests with a model


def batch_of(**balances: tuple[int, int]) -> GiftBatch:
    return GiftBatch(NOON, {user_id: Balance(*pair) for user_id, pair in balances.items()})


def success(gold: int, income: int) -> JsonObject:
    return {"status": "success", "gold": gold, "income": income}


def test_a_gift_moves_gold_then_income_and_has_an_entry() -> None:
    batch = batch_of(anna=(15, 10), bert=(0, 0))
    assert batch.find_answer(TRANSFER) is None
    assert batch.give(TRANSFER, EVENT) == batch.find_answer(TRANSFER) == success(0, 5)
    assert batch.balances == {"anna": Balance(0, 5), "bert": Balance(0, 10)}
    [(entry, event)] = batch.entries
    assert (entry.key, entry.kind, entry.by, event) == ("gift:anna:r1", "gift", "anna", EVENT)
    assert (entry.content, entry.answer) == (TRANSFER.content, success(0, 5))
    assert entry.lines == (
        Posting("user:anna", "gold", -15),
        Posting("house", "gold", 15),
        Posting("user:anna", "income", -5),
        Posting("house", "income", 5),
        Posting("user:bert", "income", 10),
        Posting("house", "income", -10),
    )


def test_a_repeated_request_has_its_answer_and_a_reused_request_id_is_refused() -> None:
    batch = batch_of(anna=(20, 0), bert=(0, 0))
    answer = batch.give(TRANSFER, EVENT)
    assert batch.find_answer(replace(TRANSFER, gold=99)) == answer
    for other in ({"receiver": "carl"}, {"gift_id": 4}, {"num": 3}):
        assert isinstance(batch.find_answer(replace(TRANSFER, **other)), RequestIdReused)
    for new in (replace(TRANSFER, request_id="r2"), replace(TRANSFER, sender="bert")):
        assert batch.find_answer(new) is batch.find_answer(TRANSFER_WITHOUT_ID) is None


def test_a_free_gift_is_given_without_postings() -> None:
    batch = batch_of(anna=(3, 4), bert=(0, 0))
    assert batch.give(replace(TRANSFER, gold=0), EVENT) == success(3, 4)
    assert [entry.lines for entry, _ in batch.entries] == [()]
    assert (batch.balance_changes, batch.ranking_changes) == ([], [])


def test_a_gift_to_oneself_returns_the_balance_afterwards() -> None:
    batch = batch_of(anna=(15, 10))
    assert batch.give(replace(TRANSFER, receiver="anna"), None) == success(0, 15)
    assert batch.balances == {"anna": Balance(0, 15)}


def test_insufficient_gold_leaves_the_batch_unchanged() -> None:
    batch = batch_of(anna=(9, 10), bert=(0, 0))
    assert isinstance(batch.give(TRANSFER, EVENT), InsufficientGold)
    assert batch == batch_of(anna=(9, 10), bert=(0, 0))
    assert (batch.balance_changes, batch.ranking_changes) == ([], [])


def test_a_batch_has_the_balances_and_rankings_to_write() -> None:
    """Also a balance that nets to zero, since a concurrent change of it is a conflict."""
    batch = batch_of(anna=(15, 15), bert=(1, 2), carl=(7, 7))
    for request_id, event in (("a", EVENT), ("b", None)):
        batch.give(replace(TRANSFER, request_id=request_id, num=1), event)
    batch.give(replace(TRANSFER, sender="bert", receiver="anna", num=1, rate=Decimal("0.7")), None)
    assert batch.balance_changes == [
        BalanceChange("anna", Balance(15, 15), Balance(0, 17)),
        BalanceChange("bert", Balance(1, 2), Balance(0, 3)),
    ]
    assert batch.ranking_changes == [
        RankingChange(DAY, "anna", 20, 7),
        RankingChange(DAY, "bert", 10, 10),
        RankingChange("live:7:e1", "anna", 10, 0),
        RankingChange("live:7:e1", "bert", 0, 5),
    ]
    there, back = batch_of(anna=(0, 20), bert=(0, 0)), replace(TRANSFER, rate=Decimal(1))
    for transfer in (back, replace(back, sender="bert", receiver="anna")):
        there.give(transfer, None)
    assert [change.before == change.after for change in there.balance_changes] == [True, True]


# ---- rankings


def entry(kind: Kind = "gift", receiver: str = "bert", earned: int = 10) -> JournalEntry:
    lines = gift_postings("anna", receiver, Balance(15, 5), earned)
    return JournalEntry("key", kind, "anna", lines, {})


@pytest.mark.parametrize("event", [EVENT, None])
def test_a_gift_counts_for_both_users_by_day_and_by_live_if_in_a_room(
    event: EventReference | None,
) -> None:
    """What is paid from income counts as gold given, too."""
    scopes = [day_scope(date(2026, 3, 1)), *([live_scope(7, "e1")] if event else [])]
    assert scopes == [DAY, "live:7:e1"][: len(scopes)]
    assert list(ranking_changes(entry(), NOON, event)) == [
        RankingChange(scope, user_id, given, received)
        for user_id, given, received in (("anna", 20, 0), ("bert", 0, 10))
        for scope in scopes
    ]


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        (entry("grant"), []),
        (entry("recharge"), []),
        (entry("reversal"), []),
        (entry(earned=0), [RankingChange(DAY, "anna", 20, 0)]),
        (entry(receiver="anna"), [RankingChange(DAY, "anna", 20, 10)]),
    ],
    ids=["grant", "recharge", "reversal", "gift without income", "gift to oneself"],
)
def test_ranking_changes_of_other_entries(
    written: JournalEntry, changes: list[RankingChange]
) -> None:
    assert list(ranking_changes(written, NOON, None)) == changes


def test_a_negated_ranking_change_takes_both_amounts_back() -> None:
    change = RankingChange(DAY, "anna", 20, 10)
    assert change.negated() == RankingChange(DAY, "anna", -20, -10)


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
