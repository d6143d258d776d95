"""When a transfer that is not final is queried, sent again, rebuilt or returned."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.open_transfers import (
    SUBMIT_AFTER,
    must_rebuild,
    must_resend,
    must_return,
    next_check_at,
)
from ledger.transfers import Transfer, TransferBody, TransferState
from ledger.withdrawals import Withdrawal, WithdrawalState
from tests.support.withdrawals import ID, NOW, learned, requested, submitted

State = TransferState


def after(**interval: float) -> datetime:
    return NOW + timedelta(**interval)


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
    counted = [missed.note_missing(after(seconds=wait)).missing for wait in (0, 44, 45)]
    assert counted == [1, 1, 2]


# ---- sending again


def test_a_transfer_that_is_missing_is_sent_again_after_several_queries() -> None:
    withdrawal = submitted()
    outcomes = []
    for minutes in range(3):
        outcomes.append(must_resend(withdrawal, None, NOW))
        withdrawal = withdrawal.note_missing(after(minutes=minutes))
    assert outcomes == [False, False, True]
    assert not must_resend(withdrawal.resend(TransferBody("body"), NOW), None, NOW)


MISSING = submitted().note_missing(NOW).note_missing(after(minutes=1))
CANCELLED = cancelled(MISSING)
WAITING = learned(submitted(), State.WAIT_USER_CONFIRM)
COMPLETE = replace(WAITING, package_info="package")
"""The user can confirm it."""


@pytest.mark.parametrize(
    ("withdrawal", "state", "minutes", "is_sent"),
    [
        *((submitted().note_problem("NOT_ENOUGH"), state, 0, True) for state in (None, "ACCEPTED")),
        (submitted().note_problem("NOT_ENOUGH"), "PROCESSING", 0, True),
        (submitted().note_problem("FREQUENCY_LIMITED"), None, 0, True),
        *((submitted().note_problem("NO_AUTH"), state, 0, False) for state in (None, "PROCESSING")),
        *((submitted(), state, 14, False) for state in ("ACCEPTED", "PROCESSING")),
        *((submitted(), state, 15, True) for state in ("ACCEPTED", "PROCESSING")),
        *((submitted(), state, 15, False) for state in ("WAIT_USER_CONFIRM", "SUCCESS")),
        (requested().approve("finn"), None, 60, False),
        (WAITING, "WAIT_USER_CONFIRM", 0, True),  # its package is lost
        (WAITING, "TRANSFERING", 0, False),
        *((COMPLETE, state, 60, False) for state in (None, "WAIT_USER_CONFIRM")),
        (CANCELLED, None, 0, True),  # the answer was lost
        (CANCELLED.note_refusal("NO_AUTH"), None, 0, False),
        (MISSING, "PROCESSING", 15, True),
        (CANCELLED, "PROCESSING", 15, False),
    ],
)
def test_a_transfer_is_sent_again_if_wechat_pay_may_not_have_it_its_funds_or_our_package(
    withdrawal: Withdrawal, state: str | None, minutes: int, *, is_sent: bool
) -> None:
    statement = Transfer(ID, State(state)) if state else None
    assert must_resend(withdrawal, statement, after(minutes=minutes)) == is_sent


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
