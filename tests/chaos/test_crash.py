"""The crash matrix: recording of steps, exits at them, and the checks afterwards."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.crash.environment import open_environment
from chaos.crash.exit_plans import (
    Call,
    CrashStep,
    ExitMoment,
    ExitPlan,
    ExitReport,
)
from chaos.crash.groups import MoneyGroup, PathGroup, create_gift_group
from chaos.crash.invariants import (
    bank_violations,
    cancel_violations,
    event_violations,
    gift_violations,
    order_violations,
    outcome_violations,
    payment_event_violations,
    refund_violations,
    request_violations,
)
from chaos.crash.notices import create_notices
from chaos.report import Violations
from chaos.scenarios.crash import MAX_TRIALS, CrashMatrix

pytestmark = [pytest.mark.programs, pytest.mark.linux]

READ, WRITE = Call("find users", 0.25), Call("update users *", 0.5)


# ---- invariants


def recorded(name: str, seq: int, gold: int) -> dict[str, Any]:
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


ONE, TWO = recorded("one", 1, 9), recorded("two", 2, 8)
RESPONSES = {row["_id"]: row["answer"] for row in (ONE, TWO)}


PAYOUT = {"_id": "payout:W1", "kind": "payout", "content": {"withdrawal": "W1", "fen": 500}}
RETURN = {"_id": "return:W1", "kind": "return", "content": {"withdrawal": "W1", "fen": 500}}
ORDER = {"_id": "Q1", "state": "paid", "gold": 60}
CREDIT = {"_id": "recharge:Q1"}
PAYMENT = {"type": "payment", "data": {"order": "Q1"}}
CASE = {
    "_id": "R1",
    "state": "closed",
    "orders": [{"number": "Q1", "provider": "jsapi", "refund": "R101", "fen": 600}],
    "gifts": [{"key": "gift:anna:1", "state": "reversed"}],
}
REVERSALS = [{"_id": "reversal:jsapi:R101"}, {"_id": "reversal:gift:anna:1"}]
REFUND = ("Q1", "R101", 600, "done")


def withdrawal(state: str, id_: str = "W1") -> dict[str, Any]:
    return {"_id": id_, "request_id": "r1", "state": state}


def answered(gold: int) -> dict[str, Any]:
    """The responses, if the first gift had left so much gold."""
    return {**RESPONSES, ONE["_id"]: {**ONE["answer"], "gold": gold}}


def room_of(version: int) -> dict[str, Any]:
    return {"_id": 1, "epoch": "e", "version": version}


ANSWERS, OTHER = {"r1": {"withdrawal_id": "W1"}}, {"r1": {"withdrawal_id": "W2"}}
PAID, OVERCHARGED = withdrawal("paid"), recorded("two", 2, 9)
INVARIANTS: list[tuple[Any, tuple[Any, ...], str]] = [
    # a check, what it is given, and what it finds
    (gift_violations, (RESPONSES, [ONE, TWO]), ""),
    (gift_violations, (RESPONSES, [ONE]), "gift_lost"),
    (gift_violations, ({}, [ONE]), "gift_not_acknowledged"),
    (gift_violations, (answered(7), [ONE, TWO]), "conflicting_responses"),
    (
        gift_violations,
        ({**RESPONSES, TWO["_id"]: OVERCHARGED["answer"]}, [ONE, OVERCHARGED]),
        "wrong_charge",
    ),
    (event_violations, ([ONE, TWO], {1: "one", 2: "two"}, room_of(2)), ""),
    (
        event_violations,
        ([ONE, TWO], {1: "one"}, room_of(2)),
        "event_numbers gift_without_event",
    ),
    (event_violations, ([ONE, TWO], {1: "one", 2: "two", 4: "three"}, room_of(4)), "event_numbers"),
    (event_violations, ([ONE, TWO], {1: "one", 2: "two", 3: "two"}, room_of(3)), "duplicate_event"),
    (event_violations, ([ONE, TWO], {1: "two", 2: "one"}, room_of(2)), "gift_without_event"),
    (
        event_violations,
        ([ONE, recorded("two", 1, 8)], {1: "one", 2: "two"}, room_of(2)),
        "gift_without_event shared_event",
    ),
    (order_violations, ([ORDER], [CREDIT], {"gold": 60}), ""),
    (order_violations, ([ORDER], [], {"gold": 0}), "order_lost wrong_balance"),
    (order_violations, ([ORDER], [CREDIT], {"gold": 120}), "wrong_balance"),
    (order_violations, ([], [CREDIT], {"gold": 0}), "credit_without_order"),
    (payment_event_violations, ([CREDIT], {"log": [PAYMENT]}), ""),
    (payment_event_violations, ([CREDIT], {"log": []}), "credit_without_event"),
    (payment_event_violations, ([], {"log": [PAYMENT]}), "credit_without_event"),
    (payment_event_violations, ([CREDIT], {"log": [PAYMENT] * 2}), "duplicate_event"),
    (request_violations, (ANSWERS, [PAID]), ""),
    (request_violations, (ANSWERS, []), "withdrawal_lost_or_not_acknowledged"),
    (request_violations, (ANSWERS, [PAID, PAID]), "duplicate_withdrawal"),
    (request_violations, (OTHER, [PAID]), "conflicting_responses"),
    (cancel_violations, (["W1"], [withdrawal("returned")]), ""),
    (cancel_violations, (["W1"], [PAID]), "cancelled_and_not_returned"),
    (outcome_violations, ([PAID], [PAYOUT]), ""),
    (outcome_violations, ([withdrawal("returned")], [RETURN]), ""),
    (outcome_violations, ([PAID], []), "outcome"),
    (outcome_violations, ([PAID], [PAYOUT, PAYOUT]), "outcome"),
    (outcome_violations, ([PAID], [PAYOUT, RETURN]), "outcome"),
    (outcome_violations, ([withdrawal("returned")], [PAYOUT]), "outcome"),
    (outcome_violations, ([withdrawal("awaiting_user")], []), "outcome"),
    (bank_violations, ({"W1": 500}, [PAYOUT]), ""),
    *(
        (bank_violations, (paid, [PAYOUT]), "bank")
        for paid in ({}, {"W1": 501}, {"W1": 500, "W2": 500})
    ),
    (refund_violations, ([CASE], [REFUND], REVERSALS), ""),
    (refund_violations, ([CASE], [REFUND], REVERSALS[:1]), "refund_step_missing"),
    (refund_violations, ([CASE], [REFUND], REVERSALS[1:]), "refund_step_missing"),
    (
        refund_violations,
        ([CASE | {"state": "refunding"}], [REFUND], REVERSALS),
        "refund_step_missing",
    ),
    *(
        (refund_violations, ([CASE], refunds, REVERSALS), "refund")
        for refunds in ([], [REFUND] * 2, [REFUND, ("Q1", "R102", 600, "done")])
    ),
]


@pytest.mark.parametrize(("check", "given", "found"), INVARIANTS)
def test_what_a_crash_must_not_leave_behind_is_found(
    check: Any, given: tuple[Any, ...], found: str
) -> None:
    assert " ".join(sorted({kind for kind, _ in check(*given)})) == found


class FakeServers:
    """Servers that exit at these moments, and their path."""

    name = "gift"

    def __init__(self, moments: list[ExitMoment]) -> None:
        self._exits = iter(moments)

    async def start_child(self, _plan: ExitPlan) -> None: ...

    async def wait_exit(self) -> ExitReport:
        return ExitReport(next(self._exits), 1, calls=(READ, WRITE), status=-9)

    async def prepare(self) -> str:
        return ""

    async def repair(self) -> None: ...

    attempt = finish = repair


@pytest.mark.parametrize(
    ("moments", "kills", "violations"),
    [
        (["end", "during"], 1, {}),
        (["end"] * MAX_TRIALS + ["during"], 0, {"step_not_reached": 1}),
        (["after", "during"], 0, {"step_not_reached": 1}),
    ],
)
async def test_crash_is_repeated_if_the_path_has_ended_before(
    moments: list[ExitMoment], kills: int, violations: dict[str, int]
) -> None:
    found, path = Violations(), FakeServers(moments)
    env: Any = SimpleNamespace(violations=found, servers=path, abort_transactions=path.repair)
    matrix = CrashMatrix(env, [path], random.Random(1))
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
    ("notice", "before", "post notices"),
    ("notice", "after", "post notices"),
    ("notice_choice", "after", "update notice_consents"),
)
"""Path, moment and call; `make chaos` crashes at each step of each path."""


@pytest.mark.gen_test(timeout=400)
async def test_gifts_and_money_are_booked_once_wherever_a_server_crashes(tmp_path: Path) -> None:
    async with open_environment(tmp_path, Violations()) as env:
        groups: list[PathGroup] = [await create_gift_group(env), MoneyGroup(env, prepared=3)]
        groups.append(await create_notices(env))
        names = {name for name, _, _ in CRASHES}
        paths = [path for group in groups for path in group.paths if path.name in names]
        matrix = CrashMatrix(env, paths, random.Random(1))
        steps = {(step.path, step.moment, step.call.name): step for step in await matrix.steps()}
        for crash_at in CRASHES:
            await matrix.crash_at(steps[crash_at])
        await matrix.finish(groups)
        counts = matrix.counts
        assert not env.violations, env.violations.examples
        assert counts["kills"] == len(CRASHES)
        assert counts["gift_events"] == counts["room_gifts"] == counts["gifts_booked"] > 2
        assert counts["orders_credited"] == counts["orders"] > 2
        assert counts["fen_in_journal"] == counts["fen_paid"] > 0
        assert counts["refunds"] == 2 * counts["refund_cases"] > 0
        assert counts["notices"] > 3
        assert counts["notices_lost"] <= 2
        assert counts["xpay_orders_credited"] == counts["xpay_orders"] > 2
