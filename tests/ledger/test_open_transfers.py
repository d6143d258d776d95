"""When a transfer that is not final is queried, sent again, rebuilt or returned."""

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

State = TransferState


def after(**interval: float) -> datetime:
    return NOW + timedelta(**interval)


def learned(withdrawal: Withdrawal, state: TransferState) -> Withdrawal:
    return withdrawal.apply(stated(state), NOW).withdrawal


def cancelled(withdrawal: Withdrawal, at: datetime = NOW) -> Withdrawal:
    return withdrawal.give_back("user", "cancelled", at).withdrawal


# ---- queries


def test_a_withdrawal_that_does_not_concern_wechat_pay_needs_no_check() -> None:
    assert next_check_at(requested(), NOW) is None
    assert next_check_at(learned(submitted(), State.SUCCESS), NOW) is None
    assert next_check_at(requested().approve("finn"), NOW) == NOW + SUBMIT_AFTER


@pytest.mark.parametrize(
    ("seconds", "check_at"),
    [(0, 60), (59, 60), (60, 300), (299, 300), (300, 900), (900, 4_500), (86_400, 90_000)],
)
def test_a_submitted_transfer_is_queried_soon_and_then_every_hour(
    seconds: int, check_at: int
) -> None:
    for withdrawal in (submitted(), learned(submitted(), State.WAIT_USER_CONFIRM)):
        assert next_check_at(withdrawal, after(seconds=seconds)) == after(seconds=check_at)


def test_a_problem_or_a_cancellation_is_queried_soon_again() -> None:
    failed = learned(submitted(), State.WAIT_USER_CONFIRM).note_problem("UNCLEAR")
    assert next_check_at(failed, after(hours=3)) == after(hours=3, minutes=5)
    assert next_check_at(failed, after(seconds=30)) == after(minutes=1)
    answered = learned(failed, State.WAIT_USER_CONFIRM)
    assert next_check_at(answered, after(hours=3)) == after(hours=4)
    given_back = cancelled(submitted(), after(hours=3))
    assert next_check_at(given_back, after(hours=3)) == after(hours=3, minutes=1)


def test_repeated_queries_that_do_not_find_a_transfer_count_once_in_45_seconds() -> None:
    missed = submitted().note_missing(NOW)
    assert [counts_as_missing(missed, after(seconds=wait)) for wait in (0, 44, 45)] == [
        *(False, False, True),
    ]
    assert counts_as_missing(submitted(), NOW)


# ---- sending again


def test_a_transfer_that_is_missing_is_sent_again_after_several_queries() -> None:
    withdrawal = submitted()
    outcomes = []
    for _ in range(3):
        outcomes.append(must_resend(withdrawal, None, NOW))
        withdrawal = withdrawal.note_missing(NOW)
    assert outcomes == [False, False, True]
    assert not must_resend(withdrawal.resend(TransferBody("body"), NOW), None, NOW)


@pytest.mark.parametrize(
    ("problem", "is_sent"), [("NOT_ENOUGH", True), ("FREQUENCY_LIMITED", True), ("NO_AUTH", False)]
)
def test_a_transfer_that_was_not_taken_is_sent_again_at_once(
    problem: str, *, is_sent: bool
) -> None:
    refused = submitted().note_problem(problem)
    assert must_resend(refused, None, NOW) == is_sent
    assert must_resend(refused, Transfer(ID, State.PROCESSING), NOW) == is_sent


@pytest.mark.parametrize(
    ("state", "is_sent"),
    [("ACCEPTED", True), ("PROCESSING", True), ("WAIT_USER_CONFIRM", False), ("SUCCESS", False)],
)
def test_a_transfer_whose_funds_are_not_locked_is_sent_again(state: str, *, is_sent: bool) -> None:
    withdrawal, statement = submitted(), Transfer(ID, State(state))
    assert not must_resend(withdrawal, statement, after(minutes=14))
    assert must_resend(withdrawal, statement, after(minutes=15)) == is_sent


def test_a_transfer_before_or_beyond_wechat_pay_is_not_sent_again() -> None:
    """One that the user has to confirm is, as long as the package for that is lost."""
    assert not must_resend(requested().approve("finn"), None, after(hours=1))
    waits, waiting = Transfer(ID, State.WAIT_USER_CONFIRM), submitted()
    waiting = learned(waiting, State.WAIT_USER_CONFIRM)
    complete = replace(waiting, package_info="package")
    assert must_resend(waiting, waits, NOW)
    assert not must_resend(waiting, Transfer(ID, State.TRANSFERING), NOW)
    for statement in (waits, None):
        assert not must_resend(complete, statement, after(hours=1))


def test_a_cancelled_transfer_is_sent_again_only_if_the_answer_was_lost() -> None:
    missing = submitted().note_missing(NOW).note_missing(NOW)
    given_back = cancelled(missing)
    assert must_resend(given_back, None, NOW)
    assert not must_resend(given_back.note_refusal("NO_AUTH"), None, NOW)
    processing, later = Transfer(ID, State.PROCESSING), after(minutes=15)
    assert must_resend(missing, processing, later)
    assert not must_resend(given_back, processing, later)


@pytest.mark.parametrize(
    ("problem", "is_rebuilt"),
    [("PARAM_ERROR", True), ("INVALID_REQUEST", True), ("NO_AUTH", True), ("NOT_ENOUGH", False)],
)
def test_only_a_body_that_wechat_pay_refused_and_does_not_have_is_replaced(
    problem: str, *, is_rebuilt: bool
) -> None:
    refused = submitted().note_refusal(problem)
    for noted in (refused, refused.note_problem("UNCLEAR")):  # a query may have failed since
        assert must_rebuild(noted, None) == is_rebuilt
        assert not must_rebuild(noted, Transfer(ID, State.ACCEPTED))


# ---- the return of a transfer that WeChat Pay never had


def test_a_cancelled_transfer_that_wechat_pay_never_had_is_returned_after_a_day() -> None:
    refused, day = submitted().note_refusal("NO_AUTH"), after(days=1)
    for hours in range(3):
        assert not must_return(cancelled(refused), day)
        refused = refused.note_missing(after(hours=hours))
    assert not must_return(refused, day), "it is not cancelled"
    given_back = cancelled(refused)
    assert must_return(given_back, day)
    assert not must_return(given_back, day - timedelta(seconds=1))
    assert not must_return(given_back, day + timedelta(days=29)), "no query finds it then"
    changes: list[dict[str, Any]] = [
        {"refusal": ""},  # the answer may be lost
        {"wechat_number": "1330"},  # WeChat Pay had it once
        {"state": WithdrawalState.AWAITING_USER},
        {"last_sent_at": None},
    ]
    for change in changes:
        assert not must_return(replace(given_back, **change), day)
