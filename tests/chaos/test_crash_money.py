"""Crashes within withdrawals, virtual payment and refund cases, and the checks afterwards."""

import random
from pathlib import Path
from typing import Any

import pytest

from chaos.crash.environment import open_environment
from chaos.crash.groups import MONEY_PATHS, MoneyGroup
from chaos.crash.money_invariants import (
    bank_violations,
    cancel_violations,
    outcome_violations,
    refund_violations,
    request_violations,
)
from chaos.scenarios import crash
from chaos.scenarios.crash import CrashMatrix, check_logs_and_ledger

pytestmark = [pytest.mark.programs, pytest.mark.linux]

PAYOUT = {"_id": "payout:W1", "kind": "payout", "content": {"withdrawal": "W1", "fen": 500}}
RETURN = {"_id": "return:W1", "kind": "return", "content": {"withdrawal": "W1", "fen": 500}}
CRASHES = (
    ("withdrawal", "during", "insert withdrawals *"),
    ("withdrawal_approve", "before", "response"),
    ("withdrawal_decline", "after", "commitTransaction *"),
    ("transfer_notice", "before", "update inbox"),
    ("transfer_return", "before", "commitTransaction *"),
    ("transfer_submit", "after", "post pay"),
    ("transfer_query", "before", "commitTransaction *"),
    ("transfer_resend", "after", "post pay"),
    ("transfer_cancel", "after", "post pay"),
    ("xpay_delivery", "before", "update inbox"),
    ("refund_confirm", "before", "commitTransaction *"),
    ("refund_case", "during", "post pay"),
    ("refund_case", "after", "post xpay"),
    ("refund_notice", "before", "update inbox"),
    ("xpay_refund_push", "after", "update refund_cases"),
)
"""Path, moment and call."""


def withdrawal(state: str) -> dict[str, Any]:
    return {"_id": "W1", "request_id": "r1", "state": state}


def kinds(found: Any) -> list[str]:
    return sorted({kind for kind, _ in found})


def test_lost_and_duplicate_withdrawals_are_found() -> None:
    answers = {"r1": {"withdrawal_id": "W1"}}
    assert kinds(request_violations(answers, [withdrawal("paid")])) == []
    assert kinds(request_violations(answers, [])) == ["withdrawal_lost_or_not_acknowledged"]
    assert kinds(request_violations(answers, [withdrawal("paid")] * 2)) == ["duplicate_withdrawal"]
    other = {"r1": {"withdrawal_id": "W2"}}
    assert kinds(request_violations(other, [withdrawal("paid")])) == ["conflicting_responses"]


def test_a_cancelled_withdrawal_that_is_not_returned_is_found() -> None:
    rows = [{"_id": "W1", "state": "returned"}, {"_id": "W2", "state": "paid"}]
    assert [*cancel_violations(["W1"], rows)] == []
    assert kinds(cancel_violations(["W1", "W2"], rows)) == ["cancelled_and_not_returned"]


@pytest.mark.parametrize(
    ("state", "journal", "is_right"),
    [
        ("paid", [PAYOUT], True),
        ("returned", [RETURN], True),
        ("paid", [], False),
        ("paid", [PAYOUT, PAYOUT], False),
        ("paid", [PAYOUT, RETURN], False),
        ("returned", [PAYOUT], False),
        ("awaiting_user", [], False),
    ],
)
def test_a_withdrawal_without_exactly_one_outcome_is_found(
    state: str, journal: list[Any], *, is_right: bool
) -> None:
    assert (
        kinds(outcome_violations([withdrawal(state)], journal)) == [] if is_right else ["outcome"]
    )


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
    assert kinds(refund_violations([case], [refund], journal[:1])) == ["refund_step_missing"]
    assert kinds(refund_violations([case], [refund], journal[1:])) == ["refund_step_missing"]
    still_open = case | {"state": "refunding"}
    assert kinds(refund_violations([still_open], [refund], journal)) == ["refund_step_missing"]
    for refunds in ([], [refund] * 2, [refund, ("Q1", "R102", 600, "done")]):
        assert kinds(refund_violations([case], refunds, journal)) == ["refund"]


def test_a_server_crashes_on_each_path_of_money() -> None:
    assert {path for path, _, _ in CRASHES} == {*MONEY_PATHS}


async def test_money_is_paid_and_refunded_once_wherever_a_server_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash, "RECORDINGS", 1)
    async with open_environment(tmp_path) as env:
        group = MoneyGroup(env, stock=2)
        assert {path.name for path in group.paths} == {*MONEY_PATHS}
        matrix = CrashMatrix(env, group.paths, random.Random(1))
        steps = {(step.path, step.moment, step.call.name): step for step in await matrix.steps()}
        for crash_at in CRASHES:
            await matrix.crash_at(steps[crash_at])
        await matrix.settle([group])
        counts = await check_logs_and_ledger(env) | await group.check()
        assert not env.violations, env.violations.examples
        assert matrix.counts["kills"] == len(CRASHES)
        assert counts["fen_in_journal"] == counts["fen_paid"] > 0
        assert counts["refunds"] == 2 * counts["refund_cases"] > 0
        assert counts["xpay_orders_credited"] == counts["xpay_orders"] == 2
