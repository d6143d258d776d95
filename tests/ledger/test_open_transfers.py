from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.open_transfers import (
    SUBMIT_AFTER,
    counts_as_missing,
    must_rebuild,
    must_resend,
    must_return,
    next_check_at,
)
from ledger.transfers import Transfer, TransferBody, TransferState
from ledger.withdrawals import Withdrawal, WithdrawalState
from tests.support.withdrawals import ID, NOW, requested, stated, submitted


def after(**interval: float) -> datetime:
    return NOW + timedelta(**interval)


def learned(withdrawal: Withdrawal, state: TransferState) -> Withdrawal:
    return withdrawal.apply(stated(state), NOW).withdrawal


def test_a_withdrawal_that_waits_for_an_operator_needs_no_check() -> None:
    assert next_check_at(requested(), NOW) is None
    assert next_check_at(learned(submitted(), TransferState.SUCCESS), NOW) is None


def test_an_approved_withdrawal_is_due_at_once() -> None:
    assert next_check_at(requested().approve("finn"), NOW) == NOW + SUBMIT_AFTER


@pytest.mark.parametrize(
    ("seconds", "check_at"),
    [(0, 60), (59, 60), (60, 300), (299, 300), (300, 900), (900, 4_500), (86_400, 90_000)],
)
def test_a_submitted_transfer_is_queried_soon_and_then_every_hour(
    seconds: int, check_at: int
) -> None:
    for withdrawal in (submitted(), learned(submitted(), TransferState.WAIT_USER_CONFIRM)):
        assert next_check_at(withdrawal, after(seconds=seconds)) == after(seconds=check_at)


def test_a_transfer_with_a_problem_is_queried_again_after_five_minutes() -> None:
    waiting = learned(submitted(), TransferState.WAIT_USER_CONFIRM)
    failed = waiting.note_problem("UNCLEAR")
    assert next_check_at(failed, after(hours=3)) == after(hours=3, minutes=5)
    assert next_check_at(failed, after(seconds=30)) == after(minutes=1)
    answered = learned(failed, TransferState.WAIT_USER_CONFIRM)
    assert next_check_at(answered, after(hours=3)) == after(hours=4)


def test_a_cancellation_is_queried_soon_again() -> None:
    cancelled = submitted().give_back("user", "cancelled", after(hours=3)).withdrawal
    assert next_check_at(cancelled, after(hours=3)) == after(hours=3, minutes=1)


def test_a_transfer_that_is_missing_is_sent_again_after_several_queries() -> None:
    withdrawal = submitted()
    outcomes = []
    for _ in range(3):
        outcomes.append(must_resend(withdrawal, None, NOW))
        withdrawal = withdrawal.note_missing(NOW)
    assert outcomes == [False, False, True]
    assert not must_resend(withdrawal.resend(TransferBody("body"), NOW), None, NOW)


def test_a_repeated_query_that_does_not_find_a_transfer_counts_once() -> None:
    missed = submitted().note_missing(NOW)
    assert [counts_as_missing(missed, after(seconds=wait)) for wait in (0, 44, 45)] == [
        *(False, False, True),
    ]
    assert counts_as_missing(submitted(), NOW)


def test_a_refused_transfer_is_sent_again_once_a_query_finds_none() -> None:
    for problem, is_sent in (("NOT_ENOUGH", True), ("FREQUENCY_LIMITED", True), ("NO_AUTH", False)):
        refused = submitted().note_problem(problem)
        assert must_resend(refused, None, NOW) == is_sent
        assert must_resend(refused, Transfer(ID, TransferState.PROCESSING), NOW) == is_sent


@pytest.mark.parametrize(
    ("state", "is_sent"),
    [("ACCEPTED", True), ("PROCESSING", True), ("WAIT_USER_CONFIRM", False), ("SUCCESS", False)],
)
def test_a_transfer_whose_funds_are_not_locked_is_sent_again(state: str, is_sent: bool) -> None:
    withdrawal, statement = submitted(), Transfer(ID, TransferState(state))
    assert not must_resend(withdrawal, statement, after(minutes=14))
    assert must_resend(withdrawal, statement, after(minutes=15)) == is_sent


def test_transfers_beyond_or_before_wechat_pay_are_not_sent_again() -> None:
    approved = requested().approve("finn")
    waiting = learned(submitted(), TransferState.WAIT_USER_CONFIRM)
    for withdrawal in (approved, replace(waiting, package_info="package")):
        assert not must_resend(withdrawal, None, after(hours=1))


def test_a_transfer_that_the_user_cannot_confirm_without_a_package_is_sent_again() -> None:
    waits = Transfer(ID, TransferState.WAIT_USER_CONFIRM)
    waiting = learned(submitted(), TransferState.WAIT_USER_CONFIRM)
    assert must_resend(waiting, waits, NOW)
    assert not must_resend(replace(waiting, package_info="package"), waits, NOW)
    confirmed = Transfer(ID, TransferState.TRANSFERING)
    assert not must_resend(waiting, confirmed, NOW)


def test_a_cancelled_transfer_is_sent_again_only_if_the_answer_was_lost() -> None:
    missing = submitted().note_missing(NOW).note_missing(NOW)
    cancelled = missing.give_back("user", "cancelled", NOW).withdrawal
    assert must_resend(cancelled, None, NOW)
    assert not must_resend(cancelled.note_refusal("NO_AUTH"), None, NOW)
    processing, later = Transfer(ID, TransferState.PROCESSING), after(minutes=15)
    assert must_resend(missing, processing, later)
    assert not must_resend(cancelled, processing, later)


def test_a_cancelled_transfer_that_wechat_pay_never_had_is_returned_after_a_day() -> None:
    refused, day = submitted().note_refusal("NO_AUTH"), after(days=1)
    for hours in range(3):
        assert not must_return(refused, day)
        refused = refused.note_missing(after(hours=hours))
    assert not must_return(refused, day), "nobody has cancelled it"
    cancelled = refused.give_back("finn", "why", NOW).withdrawal
    assert must_return(cancelled, day)
    assert not must_return(cancelled, day - timedelta(seconds=1))
    assert not must_return(cancelled, day + timedelta(days=29)), "no query finds it then"
    changes: list[dict[str, Any]] = [
        {"refusal": ""},  # the answer may be lost
        {"wechat_number": "1330"},  # WeChat Pay had it once
        {"state": WithdrawalState.AWAITING_USER},
        {"last_sent_at": None},
    ]
    for change in changes:
        assert not must_return(replace(cancelled, **change), day)


@pytest.mark.parametrize(
    ("problem", "is_rebuilt"),
    [("PARAM_ERROR", True), ("INVALID_REQUEST", True), ("NO_AUTH", True), ("NOT_ENOUGH", False)],
)
def test_only_a_body_that_wechat_pay_refused_and_does_not_have_is_replaced(
    problem: str, is_rebuilt: bool
) -> None:
    for noted in (None, "UNCLEAR"):  # a query may have failed since
        refused = submitted().note_refusal(problem)
        noted_last = refused.note_problem(noted) if noted else refused
        assert must_rebuild(noted_last, None) == is_rebuilt
        assert not must_rebuild(noted_last, Transfer(ID, TransferState.ACCEPTED))


def test_only_a_transfer_at_wechat_pay_is_cancelled_there() -> None:
    withdrawal = submitted()
    assert not withdrawal.is_cancelling
    cancelled = withdrawal.give_back("user", "cancelled", NOW).withdrawal
    assert cancelled.is_cancelling
    assert not learned(cancelled, TransferState.SUCCESS).is_cancelling
    assert not requested().give_back("user", "cancelled", NOW).withdrawal.is_cancelling
