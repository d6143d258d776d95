from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import refund_plan
from ledger.journal import JournalEntry, Posting, postings_for
from ledger.recharge import Refund
from ledger.refund_plan import (
    GiftSelection,
    GiftStep,
    HostIncome,
    HostStep,
    OrderStep,
    gift_reversal,
    make_plan,
    order_step,
)
from tests.support.hypothesis_profiles import example_settings
from tests.support.ledger_in_memory import ORDER

AT = datetime(2026, 3, 1, tzinfo=UTC)
STEP = OrderStep("Q1", "xpay", fen=600, gold=60, by_apple=False, refund="R100")
REFUND = Refund("xpay", "Q1", "wx-1", 600, own="R100")


def step(key: str, gold: int, host: str = "bert", income: int = 0) -> GiftStep:
    return GiftStep(key, AT, host, gold, income)


def select(gold: int, *gifts: GiftStep, taken: tuple[str, ...] = ()) -> list[str]:
    selection = GiftSelection(gold, taken)
    for gift in gifts:
        selection.offer(gift)
    return [gift.key for gift in selection.chosen]


# ---- orders


def test_an_order_is_refunded_for_what_earlier_refunds_have_left() -> None:
    assert order_step(ORDER, 0, "R100") == STEP
    assert order_step(ORDER, 450, "R100") == replace(STEP, fen=150, gold=15)
    assert order_step(ORDER, 600, "R100") is None
    discounted = replace(ORDER, paid_fen=500)
    assert order_step(discounted, 0, "R100") == replace(STEP, fen=500)
    assert order_step(discounted, 250, "R100") == replace(STEP, fen=250, gold=30)
    assert order_step(discounted, 500, "R100") is None
    of_ios = replace(ORDER, platform="ios")
    assert order_step(of_ios, 0, "R100") == replace(STEP, by_apple=True)
    of_wechat = replace(of_ios, provider="jsapi")
    assert order_step(of_wechat, 0, "R100") == replace(STEP, provider="jsapi")


@pytest.mark.parametrize(
    ("state", "provider_refund", "refund", "is_paid"),
    [
        ("waiting", "", {}, False),
        ("taken", "", {}, True),
        ("requested", "", {}, True),
        ("requested", "", {"refund": "wx-2", "own": ""}, True),
        ("requested", "", {"fen": 601}, False),
        ("requested", "", {"fen": 599}, True),
        ("requested", "", {"fen": 599, "own": ""}, False),
        ("requested", "", {"order": "Q2"}, False),
        ("requested", "", {"provider": "jsapi"}, False),
        ("refunded", "wx-1", {}, True),
        ("refunded", "wx-1", {"own": ""}, True),
        ("refunded", "wx-1", {"refund": "wx-2", "own": ""}, False),
        ("refunded", "", {"own": ""}, True),
        ("refunded", "", {"fen": 599, "own": ""}, False),
    ],
)
def test_a_callback_of_the_whole_sum_closes_a_step_whose_gold_is_taken(
    state: str, provider_refund: str, refund: dict[str, object], *, is_paid: bool
) -> None:
    """A repeated callback is known, a second refund is not; ours may be of less."""
    step = replace(STEP, state=state, provider_refund=provider_refund)
    assert step.is_paid_by(replace(REFUND, **refund)) == is_paid


# ---- gifts


def test_gifts_without_gold_and_those_of_other_cases_are_left_out() -> None:
    gifts = step("c", 10), step("b", 0), step("a", 10), step("older", 10)
    assert select(15, *gifts, taken=("c",)) == ["a", "older"]


def test_a_case_has_a_maximum_number_of_gifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refund_plan, "MAX_GIFTS", 2)
    assert select(100, *(step(name, 1) for name in "abc")) == ["a", "b"]


# ---- the plan


def test_the_plan_shows_where_each_hosts_income_is() -> None:
    gifts = step("a", 40, "bert", 20), step("b", 10, "carl", 5), step("c", 20, "bert", 10)
    incomes = {"bert": HostIncome(free=12, held=8, paid=3), "carl": HostIncome(free=50, held=9)}
    plan = make_plan([STEP, replace(STEP, number="Q2")], 50, gifts, incomes)
    assert (plan.unspent, plan.gifts) == (50, gifts)
    assert plan.hosts == (
        HostStep("bert", 30, free=12, held=8, paid=3, spent=7),
        HostStep("carl", 5, free=5, held=0, paid=0, spent=0),
    )
    assert make_plan([STEP], 500, (), {}).unspent == 60
    [unknown] = make_plan([STEP], 0, gifts[1:2], {}).hosts
    assert (unknown.free, unknown.spent) == (0, 5)


AMOUNT = st.integers(0, 30)
GIFTS = st.lists(st.builds(step, st.uuids().map(str), AMOUNT, st.sampled_from("bc"), AMOUNT))
INCOME = st.builds(HostIncome, AMOUNT, AMOUNT, AMOUNT)


@given(available=AMOUNT, gold=st.integers(1, 90), gifts=GIFTS, incomes=st.tuples(INCOME, INCOME))
@example_settings(150)
def test_a_plan_reverses_no_more_gifts_than_it_has_to(
    available: int, gold: int, gifts: list[GiftStep], incomes: tuple[HostIncome, HostIncome]
) -> None:
    selection = GiftSelection(gold - available)
    for gift in gifts:
        selection.offer(gift)
    chosen = selection.chosen
    plan = make_plan(
        [replace(STEP, gold=gold)], available, chosen, dict(zip("bc", incomes, strict=True))
    )
    covered = available + sum(gift.gold for gift in chosen)
    if covered < gold:
        assert chosen == [gift for gift in gifts if gift.gold]
    elif chosen:
        assert covered - chosen[-1].gold < gold
    for host in plan.hosts:
        parts = (host.free, host.held, host.paid, host.spent)
        assert sum(parts) == host.income
        assert min(parts) >= 0
    assert sum(host.income for host in plan.hosts) == sum(gift.income for gift in chosen)


# ---- reversals of gifts


def gift_of(gold: int, income: int, received: int, host: str = "bert") -> JournalEntry:
    lines = postings_for("anna", -gold, -income) + postings_for(host, 0, received)
    return JournalEntry("gift:anna:1", "gift", "anna", lines, {"to": host})


def reversal(gift: JournalEntry, host: str = "bert", *, debt: int, free: int) -> JournalEntry:
    return gift_reversal(gift, host, "R1", "a minor", debt=debt, free=free)


def test_gold_that_comes_back_pays_the_givers_debt_and_missing_income_is_owed() -> None:
    entry = reversal(gift_of(20, 4, 10), debt=15, free=7)
    assert entry.lines == (
        Posting("owed:anna", "gold", 15),
        Posting("user:anna", "gold", 5),
        Posting("house", "gold", -20),
        Posting("user:anna", "income", 4),
        Posting("house", "income", -4),
        Posting("owed:bert", "income", -3),
        Posting("user:bert", "income", -7),
        Posting("house", "income", 10),
    )
    assert (entry.key, entry.kind, entry.by) == ("reversal:gift:anna:1", "reversal", "R1")
    assert (entry.content, entry.note) == ({"reverses": "gift:anna:1"}, "a minor")
    all_owed = reversal(gift_of(20, 0, 10), debt=99, free=0)
    assert [line.account for line in all_owed.lines] == [
        *("owed:anna", "house", "owed:bert", "house")
    ]


@given(
    gold=st.integers(1, 40),
    income=AMOUNT,
    rate=st.integers(0, 100),
    debt=AMOUNT,
    free=AMOUNT,
    host=st.sampled_from(["bert", "anna"]),
)
@example_settings(150)
def test_a_reversal_undoes_all_postings_of_the_gift(
    gold: int, income: int, rate: int, debt: int, free: int, host: str
) -> None:
    received = int((gold + income) * Decimal(rate) / 100)
    gift = gift_of(gold, income, received, host)
    entry = reversal(gift, host, debt=debt, free=free)
    sums: dict[tuple[str, str], int] = {}
    for line in (*gift.lines, *entry.lines):
        key = (line.account.removeprefix("user:").removeprefix("owed:"), line.unit)
        sums[key] = sums.get(key, 0) + line.amount
    assert not any(sums.values())
    owed = {line.unit: line.amount for line in entry.lines if line.account.startswith("owed:")}
    assert owed.get("gold", 0) == min(debt, gold)
    assert -owed.get("income", 0) == max(0, received - free)
