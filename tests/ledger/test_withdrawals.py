"""Withdrawals: the request and its limits, approval, WeChat Pay's statements, and the way back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import (
    IncomeNotMatured,
    NotCancellable,
    OverLimit,
    RealNameNeeded,
    ReportRefused,
    TooLittle,
)
from ledger.journal import Posting
from ledger.transfers import TransferBody, TransferState
from ledger.withdrawal_requests import (
    REQUESTS_PER_DAY,
    UserDay,
    accept_request,
    fen_of,
    matured_income,
    request_entry,
)
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from tests.support.hypothesis_profiles import example_settings
from tests.support.withdrawals import ID, LIMITS, NOW, learned, requested, stated, submitted

State = TransferState
SUBMITTED, AWAITING, PAID, RETURNED = [
    WithdrawalState(name) for name in ("submitted", "awaiting_user", "paid", "returned")
]


# ---- requests


@example_settings(200)
@given(st.integers(0, 2**53), st.decimals("0", "2", places=4))
def test_only_income_that_makes_whole_fen_is_held(income: int, rate: Decimal) -> None:
    fen, held = fen_of(income, rate)
    fen_per_income = Fraction(rate) * 100
    assert fen <= income * fen_per_income < fen + 1
    assert 0 <= held <= income
    assert fen_of(held, rate) == (fen, held), "what is held pays exactly these fen"
    assert held == 0 or (held - 1) * fen_per_income < fen, "one income less would not do"


@pytest.mark.parametrize(
    ("income", "recent", "owed", "matured"),
    [(100, 0, 0, 100), (100, 40, 0, 60), (30, 40, 0, 0), (100, 40, 50, 10), (100, 40, 70, 0)],
)
def test_recent_income_and_debts_cannot_be_withdrawn(
    income: int, recent: int, owed: int, matured: int
) -> None:
    assert matured_income(income, recent, owed) == matured


@pytest.mark.parametrize(
    ("fen", "earlier", "auto", "second", "operators"),
    [
        *((100, 0, 0, 1000, 1), (100, 0, 100, 1000, 0), (101, 0, 100, 1000, 1)),
        *((1000, 0, 0, 1000, 1), (1001, 0, 0, 1000, 2), (100, 900, 0, 1000, 1)),
        *((100, 901, 0, 1000, 2), (100, 901, 100, 1000, 2), (10**6, 10**6, 0, 0, 1)),
    ],
)
def test_operators_are_needed_by_the_amount_and_a_second_by_the_sum_of_the_users_day(
    fen: int, earlier: int, auto: int, second: int, operators: int
) -> None:
    limits = replace(LIMITS, auto_fen=auto, second_person_fen=second)
    assert limits.operators_needed(fen, earlier + fen) == operators


def test_amounts_beyond_the_limits_are_refused() -> None:
    assert (requested(10).fen, requested(20_000).fen) == (100, 200_000)
    for income in (9, 0):
        with pytest.raises(TooLittle):
            requested(income)
    with pytest.raises(OverLimit, match="transfer"):
        requested(20_001)


def accept(income: int, earlier: UserDay, *, matured: int = 20_000, has_name: bool = False) -> int:
    """The operators needed for a withdrawal of so much income, 10 fen each."""
    accepted = accept_request(
        requested(income), LIMITS, earlier, matured=matured, has_real_name=has_name
    )
    return accepted.operators_needed


@pytest.mark.parametrize(
    ("error", "match", "earlier", "matured"),
    [
        (IncomeNotMatured, "withdrawn yet", UserDay(), 199),
        (OverLimit, "user_day", UserDay(1, 198_001), 200),
        (OverLimit, "requests", UserDay(REQUESTS_PER_DAY, 0), 200),
    ],
)
def test_matured_income_and_the_limits_of_the_day_are_checked(
    error: type[Exception], match: str, earlier: UserDay, matured: int
) -> None:
    accept(200, UserDay(REQUESTS_PER_DAY - 1, 197_999), matured=200)
    accept(200, UserDay(1, 198_000), matured=200, has_name=True)
    with pytest.raises(error, match=match):
        accept(200, earlier, matured=matured, has_name=True)


@pytest.mark.parametrize(("income", "earlier"), [(20_000, 0), (10, 199_900), (10_000, 100_000)])
def test_the_real_name_is_needed_by_the_sum_of_the_users_day(income: int, earlier: int) -> None:
    with pytest.raises(RealNameNeeded):
        accept(income, UserDay(1, earlier))
    accept(income, UserDay(1, earlier), has_name=True)
    accept(income - 1 if income > 10 else income, UserDay(1, max(0, earlier - 1)))


def test_the_entry_moves_the_income_into_the_hold() -> None:
    entry = request_entry(requested(), 105)
    assert (entry.key, entry.kind, entry.by) == ("withdrawal:anna:r1", "withdrawal", "anna")
    hold = Posting(f"held:{ID}", "income", 100)
    assert entry.lines == (Posting("user:anna", "income", -100), hold)
    assert entry.content == {"income": 105}
    assert entry.answer == {"withdrawal_id": ID, "income": 100, "fen": 1_000}


# ---- approval


def test_a_withdrawal_is_approved_by_as_many_operators_as_it_needs() -> None:
    alone = requested(auto_fen=1_000)
    assert (alone.state, alone.approvals) == ("approved", ())
    first = requested().approve("finn")
    assert (first.state, first.approvals) == ("approved", ("finn",))
    large_day = requested(auto_fen=1_000, earlier=UserDay(1, 99_001)).approve("finn")
    assert (large_day.state, large_day.operators_needed) == ("requested", 2)
    second = large_day.approve("olga")
    assert (second.state, second.approvals) == ("approved", ("finn", "olga"))


def test_a_withdrawal_without_approval_is_being_submitted_until_wechat_pay_has_answered() -> None:
    approved = requested(auto_fen=1_000)
    sent = approved.submit(TransferBody("{}"), NOW)
    waiting = learned(sent, State.WAIT_USER_CONFIRM)
    stages = (requested(), approved, sent, waiting)
    assert [stage.is_being_submitted for stage in stages] == [
        *(False, True, True, False),
    ]
    assert not sent.note_problem("UNCLEAR").is_being_submitted


# ---- statements of WeChat Pay


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


@pytest.mark.parametrize(
    ("state", "key", "to", "detail"),
    [
        (State.SUCCESS, "payout", "house", {"wechat_number": "13300"}),
        (State.FAIL, "return", "user:anna", {"reason": "OVERDUE_CLOSE"}),
        (State.CANCELLED, "return", "user:anna", {"reason": "OVERDUE_CLOSE"}),
    ],
)
def test_the_income_of_an_ended_withdrawal_leaves_its_hold_once(
    state: TransferState, key: str, to: str, detail: dict[str, str]
) -> None:
    statement = stated(state, wechat_number="13300", fail_reason="OVERDUE_CLOSE")
    ended, entry = submitted().apply(statement, NOW)
    assert entry
    assert (entry.key, entry.kind, entry.by) == (f"{key}:{ID}", key, "wechat")
    assert entry.lines == (Posting(f"held:{ID}", "income", -100), Posting(to, "income", 100))
    assert entry.content == {"withdrawal": ID, "fen": 1_000, **detail}
    fen = 1_000 if state == State.SUCCESS else 0
    assert (ended.paid_fen, ended.counted_fen, ended.finished_at) == (fen, fen, NOW)
    assert ended.apply(stated(state), NOW) == WithdrawalChange(ended)
    assert ended.note_problem("UNCLEAR") == ended.note_missing(NOW) == ended, (
        "a notification was faster"
    )
    assert learned(submitted(), State.CANCELLED).fail_reason == "CANCELLED"


def test_a_final_state_without_its_amount_changes_nothing() -> None:
    withdrawal = submitted()
    for state in (State.SUCCESS, State.FAIL, State.CANCELLED):
        assert withdrawal.apply(stated(state, fen=None), NOW) == WithdrawalChange(withdrawal)


@pytest.mark.parametrize(
    ("withdrawal", "fields", "reason"),
    [
        (submitted(), {"fen": 999}, "amount"),
        (submitted(), {"openid": "o2"}, "payee"),
        (submitted(), {"app_id": "wx2"}, "app"),
        (replace(submitted(), wechat_number="1330"), {"wechat_number": "1331"}, "bill"),
        (requested(), {}, "state"),
        (requested().approve("finn"), {}, "state"),
        (learned(submitted(), State.FAIL), {}, "state"),
        (learned(submitted(), State.SUCCESS), {"state": State.FAIL}, "state"),
    ],
    ids=["amount", "payee", "app", "bill", "requested", "approved", "returned", "paid"],
)
def test_a_statement_that_does_not_match_is_refused(
    withdrawal: Withdrawal, fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(ReportRefused, match=reason):
        withdrawal.apply(stated(**{"state": State.SUCCESS, **fields}), NOW)


def test_a_notification_about_the_withdrawal_of_a_deleted_user_fits_whatever_payee_it_names() -> (
    None
):
    withdrawal = replace(learned(submitted(), State.SUCCESS), openid="")
    assert withdrawal.apply(stated(State.SUCCESS, openid="o2"), NOW).withdrawal == withdrawal


def test_the_package_of_the_first_answer_is_kept_while_the_user_has_to_confirm() -> None:
    first = stated(State.WAIT_USER_CONFIRM, fen=None, openid=None, package="ABBQ")
    waiting = submitted().apply(first, NOW).withdrawal
    assert (waiting.package, waiting.shown_state) == ("ABBQ", "awaiting_user")
    queried = submitted().apply(replace(first, package=""), NOW).withdrawal
    assert (queried.state, queried.shown_state) == ("awaiting_user", "submitted")
    assert learned(waiting, State.WAIT_USER_CONFIRM, State.TRANSFERING).package == "ABBQ"
    assert learned(waiting, State.SUCCESS).package == ""
    cancelling = waiting.give_back("user", "cancelled", NOW).withdrawal
    assert (cancelling.package, cancelling.shown_state) == ("", "submitted")


# ---- back to the user


def test_an_unsubmitted_withdrawal_is_returned_at_once() -> None:
    for withdrawal in (requested(), requested().approve("finn")):
        returned, entry = withdrawal.give_back("olga", "no host", NOW)
        assert entry
        assert (entry.key, entry.by) == (f"return:{ID}", "olga")
        assert (returned.state, returned.is_cancelling) == ("returned", False)
        assert (returned.decided_by, returned.reason) == ("olga", "no host")
        with pytest.raises(NotCancellable):
            returned.give_back("olga", "again", NOW)


def test_a_submitted_withdrawal_waits_for_its_cancellation_at_wechat_pay() -> None:
    assert not submitted().is_cancelling
    back, entry = submitted().give_back("user", "cancelled", NOW)
    assert entry is None
    assert (back.state, back.is_cancelling) == ("submitted", True)
    again = back.give_back("refund_case", "minor", NOW)
    assert again == WithdrawalChange(back), "the first decision stays"
    for end, state in ((State.CANCELLED, "returned"), (State.SUCCESS, "paid")):
        over = learned(back, end)
        assert (over.state, over.is_cancelling) == (state, False)


# ---- calls


def test_problems_and_missing_transfers_are_kept_until_wechat_pay_answers() -> None:
    later = NOW + timedelta(minutes=5)
    withdrawal = submitted().note_refusal("NOT_ENOUGH").note_missing(NOW).note_missing(later)
    assert (withdrawal.problem, withdrawal.refusal) == ("NOT_ENOUGH", "NOT_ENOUGH")
    assert withdrawal.missing == 2
    other = TransferBody("another body", "PUB_KEY_ID_2")
    again = withdrawal.resend(other, later)
    assert (again.missing, again.refusal, again.sent_body) == (0, "", other)
    assert (again.sent_at, again.last_sent_at) == (NOW, later)
    locked = learned(withdrawal, State.PROCESSING)
    assert (locked.problem, locked.missing) == ("NOT_ENOUGH", 0)
    waiting = learned(withdrawal, State.WAIT_USER_CONFIRM)
    assert (waiting.problem, waiting.missing) == ("", 0)


def test_a_transfer_that_wechat_pay_does_not_have_is_returned_with_its_refusal() -> None:
    cancelled = submitted().note_refusal("NO_AUTH").give_back("finn", "why", NOW)
    returned, entry = cancelled.withdrawal.return_missing(NOW)
    assert entry
    assert (returned.state, returned.fail_reason) == ("returned", "NO_AUTH")
    assert (entry.key, entry.by, entry.content["reason"]) == (f"return:{ID}", "finn", "why")
