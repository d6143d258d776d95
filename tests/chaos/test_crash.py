"""The crash matrix: recording of steps, exits at them, and the checks afterwards."""

import json
import random
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.crash.environment import CrashEnvironment, open_environment
from chaos.crash.exit_plans import (
    Call,
    CrashStep,
    ExitMoment,
    ExitPlan,
    ExitReport,
    exit_plan_for,
    shuffled,
    steps_of,
)
from chaos.crash.groups import MoneyGroup, create_gift_group
from chaos.crash.invariants import event_violations, gift_violations, order_violations
from chaos.crash.money_invariants import (
    bank_violations,
    cancel_violations,
    outcome_violations,
    refund_violations,
    request_violations,
)
from chaos.scenarios.crash import MAX_TRIALS, CrashMatrix, check_logs_and_ledger
from chaos.violations import Violations

pytestmark = [pytest.mark.programs, pytest.mark.linux]

READ, WRITE = Call("find users", 0.25), Call("update users *", 0.5)


def test_each_lasting_call_has_a_step_before_during_and_after_it() -> None:
    calls = [READ, WRITE, Call("commitTransaction *"), Call("get pay"), Call("update inbox")]
    assert [str(step) for step in steps_of("gift", calls)] == [
        "gift 00 during find users",
        "gift 01 during update users *",
        "gift 02 before commitTransaction *",
        "gift 02 during commitTransaction *",
        "gift 02 after commitTransaction *",
        "gift 03 during get pay",
        "gift 04 before update inbox",
        "gift 04 during update inbox",
        "gift 04 after update inbox",
    ]


def test_a_shuffled_plan_has_each_step_equally_often_and_depends_on_the_seed() -> None:
    steps = steps_of("gift", [READ, WRITE, Call("response")])
    plan = shuffled(steps, 20, random.Random(3))
    assert sorted(plan) == sorted(steps * 20)
    assert plan == shuffled(steps, 20, random.Random(3))
    assert plan != shuffled(steps, 20, random.Random(4))


def test_an_exit_during_a_call_is_planned_within_its_duration() -> None:
    step = CrashStep("gift", 1, "during", WRITE)
    plans = [exit_plan_for(step, "one", random.Random(seed)) for seed in range(50)]
    assert max(plan.delay for plan in plans) <= 0.5
    assert len({plan.delay for plan in plans}) == 50


def test_plans_and_reports_survive_serialization() -> None:
    plan = ExitPlan("gift", "one", 3, "during", 0.25)
    assert ExitPlan.read(plan.line()) == plan
    report = ExitReport("during", 3, in_flight=True, calls=(READ, WRITE), status=-9)
    assert ExitReport.read(json.loads(json.dumps(asdict(report)))) == report
    assert report.is_at(CrashStep("gift", 3, "during", WRITE))
    assert not report.is_at(CrashStep("gift", 3, "after", WRITE))
    assert ExitReport.read({}) == ExitReport()


# ---- invariants


def booked(name: str, seq: int, gold: int) -> dict[str, Any]:
    return {
        "_id": f"gift:anna:{name}",
        "by": "anna",
        "lines": [
            {"account": "user:anna", "unit": "gold", "amount": -1},
            {"account": "house", "unit": "gold", "amount": 1},
        ],
        "answer": {"status": "success", "gold": gold, "income": 0},
        "live_id": 1,
        "epoch": "e",
        "seq": seq,
    }


ONE, TWO = booked("one", 1, 9), booked("two", 2, 8)
ROOM = {"_id": 1, "epoch": "e", "version": 2}
RESPONSES = {row["_id"]: row["answer"] for row in (ONE, TWO)}


def kinds(found: Any) -> list[str]:
    return sorted({kind for kind, _ in found})


def test_lost_unacknowledged_conflicting_and_wrongly_charged_gifts_are_found() -> None:
    assert kinds(gift_violations(RESPONSES, [ONE, TWO])) == []
    assert kinds(gift_violations(RESPONSES, [ONE])) == ["gift_lost"]
    assert kinds(gift_violations({}, [ONE])) == ["gift_not_acknowledged"]
    other = {**RESPONSES, ONE["_id"]: {"status": "success", "gold": 7, "income": 0}}
    assert kinds(gift_violations(other, [ONE, TWO])) == ["conflicting_responses"]
    row = booked("two", 2, 9)
    found = gift_violations({**RESPONSES, row["_id"]: row["answer"]}, [ONE, row])
    assert kinds(found) == ["wrong_charge"]


@pytest.mark.parametrize(
    ("events", "version", "kind"),
    [
        ({1: "one", 2: "two"}, 2, []),
        ({1: "one"}, 2, ["event_numbers", "gift_without_event"]),
        ({1: "one", 2: "two", 4: "three"}, 4, ["event_numbers"]),
        ({1: "one", 2: "two", 3: "two"}, 3, ["duplicate_event"]),
        ({1: "two", 2: "one"}, 2, ["gift_without_event"]),
    ],
)
def test_gifts_without_an_event_and_gaps_in_event_numbers_are_found(
    events: dict[int, str], version: int, kind: list[str]
) -> None:
    assert kinds(event_violations([ONE, TWO], events, {**ROOM, "version": version})) == kind


def test_two_gifts_that_share_an_event_are_found() -> None:
    rows = [ONE, booked("two", 1, 8)]
    assert "shared_event" in kinds(event_violations(rows, {1: "one", 2: "two"}, ROOM))


def test_orders_that_are_not_credited_exactly_once_are_found() -> None:
    order = {"_id": "Q1", "state": "paid", "gold": 60}
    entry = {"_id": "recharge:Q1"}
    assert kinds(order_violations([order], [entry], {"gold": 60})) == []
    assert kinds(order_violations([order], [], {"gold": 0})) == ["order_lost", "wrong_balance"]
    assert kinds(order_violations([order], [entry], {"gold": 120})) == ["wrong_balance"]
    assert kinds(order_violations([], [entry], {"gold": 0})) == ["credit_without_order"]


PAYOUT = {"_id": "payout:W1", "kind": "payout", "content": {"withdrawal": "W1", "fen": 500}}
RETURN = {"_id": "return:W1", "kind": "return", "content": {"withdrawal": "W1", "fen": 500}}


def withdrawal(state: str) -> dict[str, Any]:
    return {"_id": "W1", "request_id": "r1", "state": state}


def test_lost_and_duplicate_withdrawals_are_found() -> None:
    answers = {"r1": {"withdrawal_id": "W1"}}
    assert kinds(request_violations(answers, [withdrawal("paid")])) == []
    assert kinds(request_violations(answers, [])) == ["withdrawal_lost_or_not_acknowledged"]
    assert kinds(request_violations(answers, [withdrawal("paid")] * 2)) == ["duplicate_withdrawal"]
    other = {"r1": {"withdrawal_id": "W2"}}
    assert kinds(request_violations(other, [withdrawal("paid")])) == ["conflicting_responses"]
    rows = [{"_id": "W1", "state": "returned"}, {"_id": "W2", "state": "paid"}]
    assert kinds(cancel_violations(["W1"], rows)) == []
    assert kinds(cancel_violations(["W1", "W2"], rows)) == ["cancelled_and_not_returned"]


@pytest.mark.parametrize(
    ("state", "journal", "found"),
    [
        ("paid", [PAYOUT], []),
        ("returned", [RETURN], []),
        ("paid", [], ["outcome"]),
        ("paid", [PAYOUT, PAYOUT], ["outcome"]),
        ("paid", [PAYOUT, RETURN], ["outcome"]),
        ("returned", [PAYOUT], ["outcome"]),
        ("awaiting_user", [], ["outcome"]),
    ],
)
def test_a_withdrawal_without_exactly_one_outcome_is_found(
    state: str, journal: list[Any], found: list[str]
) -> None:
    assert kinds(outcome_violations([withdrawal(state)], journal)) == found


def test_what_the_bank_pays_besides_the_journal_is_found() -> None:
    assert kinds(bank_violations({"W1": 500}, [PAYOUT])) == []
    for paid in ({}, {"W1": 501}, {"W1": 500, "W2": 500}):
        assert kinds(bank_violations(paid, [PAYOUT])) == ["bank"]


def test_steps_of_a_refund_case_that_are_missing_or_doubled_are_found() -> None:
    order = {"number": "Q1", "provider": "jsapi", "refund": "R101", "fen": 600}
    gift = {"key": "gift:anna:1", "state": "reversed"}
    case = {"_id": "R1", "state": "closed", "orders": [order], "gifts": [gift]}
    journal = [{"_id": "reversal:jsapi:R101"}, {"_id": "reversal:gift:anna:1"}]
    refund = ("Q1", "R101", 600, "done")
    assert kinds(refund_violations([case], [refund], journal)) == []
    still_open = case | {"state": "refunding"}
    for found, entries in ((case, journal[:1]), (case, journal[1:]), (still_open, journal)):
        assert kinds(refund_violations([found], [refund], entries)) == ["refund_step_missing"]
    for refunds in ([], [refund] * 2, [refund, ("Q1", "R102", 600, "done")]):
        assert kinds(refund_violations([case], refunds, journal)) == ["refund"]


@pytest.mark.parametrize(
    ("moments", "kills", "violations"),
    [
        (["end", "during"], 1, {}),
        (["end"] * MAX_TRIALS + ["during"], 0, {"step_not_reached": 1}),
        (["after", "during"], 0, {"step_not_reached": 1}),
    ],
)
async def test_crash_is_repeated_if_the_path_has_ended_before(
    monkeypatch: pytest.MonkeyPatch,
    moments: list[ExitMoment],
    kills: int,
    violations: dict[str, int],
) -> None:
    found = Violations()
    env = cast("CrashEnvironment", SimpleNamespace(violations=found))
    matrix = CrashMatrix(env, [], random.Random(1))
    exits = iter(moments)

    async def trial(*_: Any) -> ExitReport:
        return ExitReport(next(exits), 1, calls=(READ, WRITE), status=-9)

    monkeypatch.setattr(matrix, "_trial", trial)
    await matrix.crash_at(CrashStep("gift", 1, "during", WRITE))
    assert (matrix.counts["kills"], dict(found.counts)) == (kills, violations)


# ---- a few real crashes

CRASHES = (
    ("gift", "during", "insert ledger *"),
    ("gift", "after", "response"),
    ("notification", "before", "update inbox"),
    ("withdrawal", "during", "insert withdrawals *"),
    ("transfer_submit", "after", "post pay"),
    ("refund_case", "after", "post xpay"),
    ("xpay_delivery", "before", "update inbox"),
)
"""Path, moment and call; `make chaos` crashes at each step of each path."""


async def test_gifts_and_money_are_booked_once_wherever_a_server_crashes(tmp_path: Path) -> None:
    async with open_environment(tmp_path) as env:
        groups = [await create_gift_group(env), MoneyGroup(env, stock=3)]
        names = {name for name, _, _ in CRASHES}
        paths = [path for group in groups for path in group.paths if path.name in names]
        matrix = CrashMatrix(env, paths, random.Random(1))
        steps = {(step.path, step.moment, step.call.name): step for step in await matrix.steps()}
        for crash_at in CRASHES:
            await matrix.crash_at(steps[crash_at])
        await matrix.settle(groups)
        counts = await check_logs_and_ledger(env)
        for group in groups:
            counts |= await group.check()
        assert not env.violations, env.violations.examples
        assert matrix.counts["kills"] == len(CRASHES)
        assert counts["gift_events"] == counts["room_gifts"] == counts["gifts_booked"] > 2
        assert counts["orders_credited"] == counts["orders"] > 2
        assert counts["fen_in_journal"] == counts["fen_paid"] > 0
        assert counts["refunds"] == 2 * counts["refund_cases"] > 0
        assert counts["xpay_orders_credited"] == counts["xpay_orders"] > 2
