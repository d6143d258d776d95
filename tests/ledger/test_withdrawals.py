from datetime import timedelta

import pytest

from ledger.errors import NotCancellable
from ledger.journal import Posting
from ledger.transfers import TransferBody, TransferMismatch, TransferState
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from tests.support.withdrawals import ID, NOW, requested, stated, submitted

State = TransferState
SUBMITTED, AWAITING, PAID, RETURNED = [
    WithdrawalState(name) for name in ("submitted", "awaiting_user", "paid", "returned")
]


def learned(withdrawal: Withdrawal, *states: TransferState) -> Withdrawal:
    for state in states:
        withdrawal = withdrawal.apply(stated(state), NOW).withdrawal
    return withdrawal


# ---- approval


def test_one_operator_approves_a_withdrawal() -> None:
    approved = requested().approve("finn")
    assert (approved.state, approved.approvals) == ("approved", ("finn",))


def test_a_large_withdrawal_waits_for_a_second_operator() -> None:
    first = requested(10_001).approve("finn")
    assert (first.state, first.operators_needed) == ("requested", 2)
    second = first.approve("olga")
    assert (second.state, second.approvals) == ("approved", ("finn", "olga"))


# ---- states


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([State.ACCEPTED], SUBMITTED),
        ([State.PROCESSING], SUBMITTED),
        ([State.CANCELING], SUBMITTED),
        ([State.WAIT_USER_CONFIRM], AWAITING),
        ([State.TRANSFERING], AWAITING),
        ([State.WAIT_USER_CONFIRM, State.CANCELING], AWAITING),
        ([State.WAIT_USER_CONFIRM, State.PROCESSING], AWAITING),
        ([State.SUCCESS], PAID),
        ([State.SUCCESS, State.SUCCESS, State.PROCESSING, State.WAIT_USER_CONFIRM], PAID),
        ([State.FAIL], RETURNED),
        ([State.CANCELLED, State.CANCELLED, State.TRANSFERING], RETURNED),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_state_of_a_withdrawal_follows_wechat_pay_and_never_goes_back(
    states: list[TransferState], state: str
) -> None:
    assert learned(submitted(), *states).state == state


def test_a_paid_withdrawal_leaves_the_hold_for_the_house_once() -> None:
    paid, entry = submitted().apply(stated(State.SUCCESS, wechat_number="13300"), NOW)
    assert entry
    assert (entry.key, entry.kind, entry.by) == (f"payout:{ID}", "payout", "wechat")
    assert entry.lines == (Posting(f"held:{ID}", "income", -100), Posting("house", "income", 100))
    assert entry.content == {"withdrawal": ID, "fen": 1_000, "wechat_number": "13300"}
    assert (paid.paid_fen, paid.finished_at) == (1_000, NOW)
    assert paid.apply(stated(State.SUCCESS), NOW) == WithdrawalChange(paid)


def test_a_failed_withdrawal_goes_back_to_the_user_once() -> None:
    failed, entry = submitted().apply(stated(State.FAIL, fail_reason="OVERDUE_CLOSE"), NOW)
    assert entry
    assert (entry.key, entry.kind, entry.by) == (f"return:{ID}", "return", "wechat")
    assert entry.lines == (
        Posting(f"held:{ID}", "income", -100),
        Posting("user:anna", "income", 100),
    )
    assert entry.content["reason"] == failed.fail_reason == "OVERDUE_CLOSE"
    assert (failed.counted_fen, failed.finished_at) == (0, NOW)
    assert failed.apply(stated(State.CANCELLED), NOW) == WithdrawalChange(failed)
    assert learned(submitted(), State.CANCELLED).fail_reason == "CANCELLED"


def test_a_final_state_without_its_amount_changes_nothing() -> None:
    withdrawal = submitted()
    for state in (State.SUCCESS, State.FAIL, State.CANCELLED):
        assert withdrawal.apply(stated(state, fen=None), NOW) == WithdrawalChange(withdrawal)


def test_the_package_of_the_first_answer_is_kept() -> None:
    first = stated(State.WAIT_USER_CONFIRM, fen=None, openid=None, package="ABBQ")
    waiting = submitted().apply(first, NOW).withdrawal
    assert waiting.package == "ABBQ"
    assert learned(waiting, State.WAIT_USER_CONFIRM, State.TRANSFERING).package == "ABBQ"
    assert learned(waiting, State.SUCCESS).package == ""


@pytest.mark.parametrize(
    ("withdrawal", "fields", "reason"),
    [
        (submitted(), {"fen": 999}, "amount"),
        (submitted(), {"openid": "o2"}, "payee"),
        (requested(), {}, "state"),
        (requested().approve("finn"), {}, "state"),
        (learned(submitted(), State.FAIL), {}, "state"),
        (learned(submitted(), State.SUCCESS), {"state": State.FAIL}, "state"),
    ],
    ids=["amount", "payee", "requested", "approved", "returned", "paid"],
)
def test_a_statement_that_does_not_match_is_refused(
    withdrawal: Withdrawal, fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(TransferMismatch, match=reason):
        withdrawal.apply(stated(**{"state": State.SUCCESS, **fields}), NOW)


# ---- back to the user


def test_an_unsubmitted_withdrawal_is_returned_at_once() -> None:
    for withdrawal in (requested(), requested().approve("finn")):
        returned, entry = withdrawal.give_back("olga", "no host", NOW)
        assert entry
        assert (returned.state, returned.decided_by, returned.reason) == (
            *("returned", "olga", "no host"),
        )
        assert (entry.key, entry.by) == (f"return:{ID}", "olga")
        assert not returned.is_cancelling
        with pytest.raises(NotCancellable):
            returned.give_back("olga", "again", NOW)


def test_a_submitted_withdrawal_waits_for_its_cancellation_at_wechat_pay() -> None:
    back, entry = submitted().give_back("user", "cancelled", NOW)
    assert entry is None
    assert (back.state, back.is_cancelling) == ("submitted", True)
    assert back.give_back("refund_case", "minor", NOW) == WithdrawalChange(back), (
        "the first decision stays"
    )
    over = back.apply(stated(State.CANCELLED), NOW).withdrawal
    assert (over.state, over.is_cancelling) == ("returned", False)


# ---- calls


def test_problems_and_missing_transfers_are_kept_until_wechat_pay_answers() -> None:
    withdrawal = submitted().note_problem("NOT_ENOUGH").note_missing(NOW).note_missing(NOW)
    assert (withdrawal.problem, withdrawal.missing) == ("NOT_ENOUGH", 2)
    other, later = TransferBody("another body", "PUB_KEY_ID_2"), NOW + timedelta(minutes=5)
    again = withdrawal.resend(other, later)
    assert (again.missing, again.sent_body) == (0, other)
    assert (again.sent_at, again.last_sent_at) == (NOW, later)
    locked = learned(withdrawal, State.PROCESSING)
    assert (locked.problem, locked.missing) == ("NOT_ENOUGH", 0)
    waiting = learned(withdrawal, State.WAIT_USER_CONFIRM)
    assert (waiting.problem, waiting.missing) == ("", 0)


def test_an_answer_that_a_notice_has_overtaken_changes_nothing() -> None:
    paid = learned(submitted(), State.SUCCESS)
    assert paid.note_problem("UNCLEAR") == paid.note_missing(NOW) == paid


def test_a_refusal_counts_until_the_body_is_sent_again() -> None:
    refused = submitted().note_refusal("NO_AUTH")
    assert (refused.problem, refused.refusal) == ("NO_AUTH", "NO_AUTH")
    assert refused.resend(TransferBody("body"), NOW).refusal == ""


def test_a_transfer_that_wechat_pay_does_not_have_is_returned_with_its_refusal() -> None:
    cancelled = submitted().note_refusal("NO_AUTH").give_back("finn", "why", NOW)
    returned, entry = cancelled.withdrawal.return_missing(NOW)
    assert entry
    assert (returned.state, returned.fail_reason) == ("returned", "NO_AUTH")
    assert (entry.key, entry.by, entry.content["reason"]) == (f"return:{ID}", "finn", "why")


def test_a_user_does_not_confirm_what_is_being_cancelled() -> None:
    says = stated(State.WAIT_USER_CONFIRM, package="package")
    waiting = submitted().apply(says, NOW).withdrawal
    assert waiting.package == "package"
    assert waiting.give_back("user", "cancelled", NOW).withdrawal.package == ""


def test_a_withdrawal_without_approval_is_being_submitted_until_wechat_pay_has_answered() -> None:
    assert not requested().is_being_submitted
    approved = requested(auto_fen=1_000)
    sent = approved.submit(TransferBody("{}"), NOW)
    assert approved.is_being_submitted
    assert sent.is_being_submitted
    assert not sent.note_problem("UNCLEAR").is_being_submitted
    waiting = sent.apply(stated(TransferState.WAIT_USER_CONFIRM), NOW).withdrawal
    assert not waiting.is_being_submitted
