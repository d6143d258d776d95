from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.open_bills import (
    SUBMIT_AFTER,
    counts_as_missing,
    must_cancel,
    must_rebuild,
    must_resend,
    must_return,
    next_check_at,
)
from ledger.transfers import Transfer, TransferBody, TransferState
from ledger.withdrawals import Withdrawal
from tests.support.withdrawals import FIRST, NOW, requested, stated, submitted


def after(**interval: float) -> datetime:
    return NOW + timedelta(**interval)


def learned(withdrawal: Withdrawal, state: TransferState) -> Withdrawal:
    return withdrawal.apply(stated(state), NOW).withdrawal


def test_a_withdrawal_that_waits_for_an_operator_needs_no_check() -> None:
    assert next_check_at(requested(), NOW) is None
    assert next_check_at(learned(submitted(), TransferState.SUCCESS), NOW) is None


def test_an_approved_withdrawal_is_due_at_once() -> None:
    assert next_check_at(requested().approve("finn"), NOW) == NOW + SUBMIT_AFTER
    half = requested(4_000).approve("finn").submit(FIRST, TransferBody("body"), NOW)
    assert next_check_at(half, NOW) == NOW + SUBMIT_AFTER


@pytest.mark.parametrize(
    ("seconds", "check_at"),
    [(0, 60), (59, 60), (60, 300), (299, 300), (300, 900), (900, 4_500), (86_400, 90_000)],
)
def test_a_submitted_bill_is_queried_soon_and_then_every_hour(seconds: int, check_at: int) -> None:
    for withdrawal in (submitted(), learned(submitted(), TransferState.WAIT_USER_CONFIRM)):
        assert next_check_at(withdrawal, after(seconds=seconds)) == after(seconds=check_at)


def test_a_bill_with_a_problem_is_queried_again_after_five_minutes() -> None:
    waiting = learned(submitted(), TransferState.WAIT_USER_CONFIRM)
    failed = waiting.note_problem(FIRST, "UNCLEAR")
    assert next_check_at(failed, after(hours=3)) == after(hours=3, minutes=5)
    assert next_check_at(failed, after(seconds=30)) == after(minutes=1)
    answered = learned(failed, TransferState.WAIT_USER_CONFIRM)
    assert next_check_at(answered, after(hours=3)) == after(hours=4)


def test_a_cancellation_is_queried_soon_again() -> None:
    cancelled = submitted().give_back("user", "cancelled", after(hours=3)).withdrawal
    assert next_check_at(cancelled, after(hours=3)) == after(hours=3, minutes=1)


def test_a_bill_that_is_missing_is_sent_again_after_several_queries() -> None:
    withdrawal = submitted()
    outcomes = []
    for _ in range(3):
        outcomes.append(must_resend(withdrawal.bills[0], None, NOW))
        withdrawal = withdrawal.note_missing(FIRST, NOW)
    assert outcomes == [False, False, True]
    assert not must_resend(withdrawal.resend(FIRST, TransferBody("body"), NOW).bills[0], None, NOW)


def test_a_repeated_query_that_does_not_find_a_bill_counts_once() -> None:
    missed = submitted().note_missing(FIRST, NOW).bills[0]
    assert [counts_as_missing(missed, after(seconds=wait)) for wait in (0, 44, 45)] == [
        *(False, False, True),
    ]
    assert counts_as_missing(submitted().bills[0], NOW)


def test_a_refused_bill_is_sent_again_once_a_query_finds_none() -> None:
    for problem, is_sent in (("NOT_ENOUGH", True), ("FREQUENCY_LIMITED", True), ("NO_AUTH", False)):
        bill = submitted().note_problem(FIRST, problem).bills[0]
        assert must_resend(bill, None, NOW) == is_sent
        assert must_resend(bill, Transfer(FIRST, TransferState.PROCESSING), NOW) == is_sent


@pytest.mark.parametrize(
    ("state", "is_sent"),
    [("ACCEPTED", True), ("PROCESSING", True), ("WAIT_USER_CONFIRM", False), ("SUCCESS", False)],
)
def test_a_bill_whose_funds_are_not_locked_is_sent_again(state: str, is_sent: bool) -> None:
    bill, statement = submitted().bills[0], Transfer(FIRST, TransferState(state))
    assert not must_resend(bill, statement, after(minutes=14))
    assert must_resend(bill, statement, after(minutes=15)) == is_sent


def test_bills_beyond_or_before_wechat_pay_are_not_sent_again() -> None:
    approved = requested().approve("finn").bills[0]
    waiting = learned(submitted(), TransferState.WAIT_USER_CONFIRM).bills[0]
    for bill in (approved, replace(waiting, package="package")):
        assert not must_resend(bill, None, after(hours=1))


def test_a_bill_that_the_user_cannot_confirm_without_a_package_is_sent_again() -> None:
    waits = Transfer(FIRST, TransferState.WAIT_USER_CONFIRM)
    bill = learned(submitted(), TransferState.WAIT_USER_CONFIRM).bills[0]
    assert must_resend(replace(bill, package=""), waits, NOW)
    assert not must_resend(replace(bill, package="package"), waits, NOW)
    confirmed = Transfer(FIRST, TransferState.TRANSFERING)
    assert not must_resend(replace(bill, package=""), confirmed, NOW)


def test_a_cancelled_bill_is_sent_again_only_if_the_answer_was_lost() -> None:
    missing = submitted().note_missing(FIRST, NOW).note_missing(FIRST, NOW)
    assert must_resend(missing.bills[0], None, NOW, is_cancelling=True)
    refused = missing.note_refusal(FIRST, "NO_AUTH").bills[0]
    assert not must_resend(refused, None, NOW, is_cancelling=True)
    processing, later = Transfer(FIRST, TransferState.PROCESSING), after(minutes=15)
    assert must_resend(missing.bills[0], processing, later)
    assert not must_resend(missing.bills[0], processing, later, is_cancelling=True)


def test_a_cancelled_bill_that_wechat_pay_refused_and_does_not_have_is_returned_after_a_day() -> (
    None
):
    refused, day = submitted().note_refusal(FIRST, "NO_AUTH"), after(days=1)
    for hours in range(3):
        assert not must_return(refused.bills[0], refused, day)
        refused = refused.note_missing(FIRST, after(hours=hours))
    assert not must_return(refused.bills[0], refused, day), "nobody has cancelled it"
    cancelled = refused.give_back("finn", "why", NOW).withdrawal
    bill = cancelled.bills[0]
    assert must_return(bill, cancelled, day)
    assert not must_return(bill, cancelled, day - timedelta(seconds=1))
    assert not must_return(bill, cancelled, day + timedelta(days=29)), "no query finds it then"
    changes: list[dict[str, Any]] = [
        {"refusal": ""},  # the answer may be lost
        {"wechat_number": "1330"},  # WeChat Pay had it once
        {"state": "awaiting_user"},
        {"last_sent_at": None},  # stored before that time was
    ]
    for change in changes:
        assert not must_return(replace(bill, **change), cancelled, day)


@pytest.mark.parametrize(
    ("problem", "is_rebuilt"),
    [("PARAM_ERROR", True), ("INVALID_REQUEST", True), ("NO_AUTH", True), ("NOT_ENOUGH", False)],
)
def test_only_a_body_that_wechat_pay_refused_and_does_not_have_is_replaced(
    problem: str, is_rebuilt: bool
) -> None:
    for noted in (None, "UNCLEAR"):  # a query may have failed since
        refused = submitted().note_refusal(FIRST, problem)
        bill = (refused.note_problem(FIRST, noted) if noted else refused).bills[0]
        assert must_rebuild(bill, None) == is_rebuilt
        assert not must_rebuild(bill, Transfer(FIRST, TransferState.ACCEPTED))


def test_only_bills_at_wechat_pay_are_cancelled_there() -> None:
    withdrawal = submitted(4_000)
    assert not must_cancel(withdrawal.bills[0], withdrawal)
    cancelled = withdrawal.give_back("user", "cancelled", NOW).withdrawal
    assert must_cancel(cancelled.bills[0], cancelled)
    paid = cancelled.apply(stated(TransferState.SUCCESS, fen=20_000), NOW).withdrawal
    assert [must_cancel(bill, paid) for bill in paid.bills] == [False, True]
