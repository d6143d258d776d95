"""Rules of giving: caps, reminders and confirmations, own caps and the cool-off."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import day_of
from core.errors import QLiveError
from ledger.errors import ConfirmationNeeded, CoolingOff, OverDayCap, OverGiftCap, OverMonthCap
from ledger.gifts import GiftBatch
from ledger.giving import NEW_GIVER, NO_RULES, PARTS, RAISED_AFTER, Giver, GivingRules, OwnCap
from ledger.journal import Balance, JsonObject
from tests.support.hypothesis_profiles import example_settings
from tests.support.ledger_in_memory import TRANSFER

NOON = datetime(2026, 3, 30, 4, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CAPS = GivingRules(gift_gold=60, day_gold=100, month_gold=150)
COOL_OFF = GivingRules(cool_off_gold=50)


def give(
    giver: Giver, rules: GivingRules, gold: int, now: datetime = NOON, *, confirmed: bool = True
) -> Giver | type[QLiveError]:
    """The giver after the gift, or the refusal's class."""
    try:
        return giver.spend(rules, gold, now, confirmed=confirmed)[0]
    except QLiveError as refusal:
        return type(refusal)


def having_given(*golds: int, rules: GivingRules = CAPS, now: datetime = NOON) -> Giver:
    giver = NEW_GIVER
    for gold in golds:
        after = give(giver, rules, gold, now)
        assert isinstance(after, Giver)
        giver = after
    return giver


# ---- reminders and confirmations


def test_the_gift_that_reaches_half_of_a_cap_reminds_and_the_next_needs_confirmation() -> None:
    def remind(giver: Giver, gold: int) -> bool:
        with suppress(QLiveError):
            return giver.spend(CAPS, gold, NOON, confirmed=False)[1]
        return False

    assert not remind(NEW_GIVER, 49)
    assert remind(NEW_GIVER, 50)
    giver = having_given(50)
    assert give(giver, CAPS, 1, confirmed=False) is ConfirmationNeeded
    assert give(giver, CAPS, 51, confirmed=False) is OverDayCap, "nothing to confirm"
    month = give(giver, CAPS, 25)
    assert isinstance(month, Giver)
    assert give(month, CAPS, 1, NOON + DAY, confirmed=False) is ConfirmationNeeded


# ---- own caps


def test_an_own_cap_is_lowered_at_once_and_raised_after_a_day() -> None:
    cap = OwnCap().changed(50, NOON)
    assert cap == OwnCap(50)
    for gold in (80, 0):
        raised = cap.changed(gold, NOON)
        assert raised == OwnCap(50, gold, NOON + RAISED_AFTER)
        assert raised.at(NOON + DAY - MINUTE) == raised
        assert raised.at(NOON + DAY) == OwnCap(gold)
        assert raised.changed(gold, NOON + MINUTE) == raised, "asking again does not delay it"
        assert raised.changed(70, NOON + MINUTE).next_at == NOON + MINUTE + RAISED_AFTER
        for lower in (40, 50):
            assert raised.changed(lower, NOON + MINUTE) == OwnCap(lower)


# ---- cool-off


def test_the_gift_that_reaches_the_sum_of_the_cool_off_passes_and_the_next_wait() -> None:
    giver = having_given(20, rules=COOL_OFF)
    after = give(giver, COOL_OFF, 30, NOON + 9 * MINUTE)
    assert isinstance(after, Giver)
    assert after.cooling_until == NOON + 19 * MINUTE
    assert give(after, COOL_OFF, 1, NOON + 18 * MINUTE) is CoolingOff
    assert isinstance(give(after, NO_RULES, 1, NOON + 10 * MINUTE), Giver), "switched off"
    again = give(after, COOL_OFF, 20, NOON + 19 * MINUTE)
    assert isinstance(again, Giver)
    assert isinstance(give(again, COOL_OFF, 20, NOON + 19 * MINUTE), Giver)


@example_settings(300)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 400)), max_size=60))
def test_a_cool_off_begins_when_the_gifts_of_any_window_reach_its_sum(
    steps: list[tuple[int, int]],
) -> None:
    """At once, or for gifts that were added up, a tenth of the window later than it might end."""
    giver, now, gifts = NEW_GIVER, NOON, list[tuple[datetime, int]]()
    for gold, seconds in steps:
        now += timedelta(seconds=seconds)
        after = give(giver, COOL_OFF, gold, now)
        if not isinstance(after, Giver):
            assert (after, now < giver.cooling_until) == (CoolingOff, True)
            continue
        gifts.append((now, gold))
        within, nearly = (
            sum(given for at, given in gifts if now - at < minutes * MINUTE) for minutes in (10, 11)
        )
        begins = after.cooling_until == now + 10 * MINUTE
        assert within < 50 or begins
        assert nearly >= 50 or not begins
        assert len(after.recent) <= 2 * PARTS + 2
        giver, gifts = after, [] if begins else gifts


# ---- batches


def test_a_batch_decides_each_gift_after_the_ones_before_and_refusals_change_nothing() -> None:
    batch = GiftBatch(NOON, {"anna": Balance(100, 100), "bert": Balance(0, 0)})
    transfer = replace(TRANSFER, gold=20, num=1, rules=GivingRules(day_gold=50))

    def give(request_id: str, *, confirmed: bool = False) -> JsonObject:
        return batch.give(replace(transfer, request_id=request_id, confirmed=confirmed), None)

    assert give("a") == {"status": "success", "gold": 80, "income": 100}
    assert give("b") == {"status": "success", "gold": 60, "income": 100, "reminder": True}
    for confirmed in (False, True):
        with pytest.raises(OverDayCap):
            give("c", confirmed=confirmed)
    assert batch.balances["anna"] == Balance(60, 100)
    change, receiver = batch.balance_changes
    assert change.giver
    assert (change.giver.version, change.giver.day_gold, receiver.giver) == (0, 40, None)


# ---- any sequence

GOLD = st.integers(0, 120)
GIFTS = st.tuples(st.just("give"), GOLD)
KINDS = ("gift", "day", "month")
OWN = st.tuples(st.sampled_from(KINDS), GOLD)
HOUSE = st.tuples(st.sampled_from([f"house {kind}" for kind in KINDS]), GOLD)
PAUSES = st.integers(-60, 60 * 24 * 3)


@example_settings(300)
@given(st.lists(st.tuples(st.one_of(GIFTS, GIFTS, OWN, HOUSE), PAUSES), max_size=40))
def test_no_gift_goes_over_a_cap_and_one_that_reaches_it_passes(
    steps: list[tuple[tuple[str, int], int]],
) -> None:
    """Days and months are those of China; a clock that is behind does not begin one again.

    Sums are counted again here, from all gifts of the day and the month.
    """
    giver, now, rules = NEW_GIVER, NOON, GivingRules(day_gold=100, month_gold=200)
    latest = day_of(now)
    days: Counter[str] = Counter()
    for (what, gold), minutes in steps:
        now += minutes * MINUTE
        if what in KINDS:
            giver = giver.with_own_caps(now, **{what: gold})
            continue
        if what.startswith("house"):
            rules = GivingRules(**{"day_gold": 100, "month_gold": 200, f"{what[6:]}_gold": gold})
            continue
        day = str(max(latest, day_of(now)))
        current = giver.at(now)
        month_sum = sum(n for other, n in days.items() if other[:7] == day[:7])
        refusals = [
            refusal
            for refusal, total, *caps in (
                (OverGiftCap, 0, rules.gift_gold, current.own_gift.gold),
                (OverDayCap, days[day], rules.day_gold, current.own_day.gold),
                (OverMonthCap, month_sum, rules.month_gold, current.own_month.gold),
            )
            if any(cap and total + gold > cap for cap in caps)
        ]
        after = give(giver, rules, gold, now)
        assert refusals[:1] == ([] if isinstance(after, Giver) else [after])
        if isinstance(after, Giver):
            assert (after.day, after.day_gold) == (day, days[day] + gold)
            assert after.month_gold == month_sum + gold
            giver, latest = after, max(latest, day_of(now))
            days[day] += gold
