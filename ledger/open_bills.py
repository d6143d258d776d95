"""Rules of bills at WeChat Pay that are not final: when to query them, and when to send again."""

from datetime import datetime, timedelta

from ledger.transfers import Transfer, TransferState
from ledger.withdrawals import Bill, Withdrawal, WithdrawalState

SUBMIT_AFTER = timedelta(seconds=2)
"""When the sweep submits an approved bill: whoever approved it may be about to do it."""
CHECK_AFTER = [timedelta(minutes=minutes) for minutes in (1, 5, 15)]
"""Times after a bill was sent, or its cancellation requested, at which WeChat Pay is queried."""
CHECK_EVERY = timedelta(hours=1)
"""Interval of the queries after that; WeChat Pay closes a bill after 24 hours, sometimes later."""
MISSING_BEFORE_RESEND = 2
"""Queries that do not find a bill until it is sent again: it may be missing *yet*."""
STUCK_AFTER = CHECK_AFTER[-1]
"""Time in which WeChat Pay locks the funds of a bill; it is sent again if they were too low."""
NOT_ENOUGH, FREQUENCY_LIMITED = "NOT_ENOUGH", "FREQUENCY_LIMITED"
NOT_TAKEN = (NOT_ENOUGH, FREQUENCY_LIMITED)
"""Refusals after which WeChat Pay waits for the bill to be sent again, unless a query says more."""
BODY_REFUSED = "PARAM_ERROR"
"""WeChat Pay never takes this body: sent again, the bill gets a new one, under its number."""
UNCLEAR = "UNCLEAR"
"""Problem of a call without an answer that can be trusted."""


def next_check_at(withdrawal: Withdrawal, now: datetime) -> datetime | None:
    """When the withdrawal needs attention next; None while WeChat Pay is not concerned."""
    times = (_next_check_of(bill, withdrawal, now) for bill in withdrawal.bills)
    return min((at for at in times if at), default=None)


def _next_check_of(bill: Bill, withdrawal: Withdrawal, now: datetime) -> datetime | None:
    if bill.state == WithdrawalState.APPROVED:
        return now + SUBMIT_AFTER
    if bill.sent_at is None or bill.state.is_final:
        return None
    begin = max(bill.sent_at, withdrawal.decided_at or bill.sent_at)
    later = (begin + wait for wait in CHECK_AFTER)
    return next((at for at in later if at > now), now + CHECK_EVERY)


def must_resend(bill: Bill, stated: Transfer | None, now: datetime) -> bool:
    """Whether the same body is to be sent again, after a query has answered `stated`.

    Also for the package of a bill whose first answer was lost, or came before the funds were
    locked: no query has it.
    """
    if bill.state == WithdrawalState.AWAITING_USER and not bill.package:
        return stated is not None and stated.state == TransferState.WAIT_USER_CONFIRM
    if bill.state != WithdrawalState.SUBMITTED or bill.sent_at is None:
        return False
    was_refused = bill.problem in NOT_TAKEN
    if stated is None:
        return was_refused or bill.missing >= MISSING_BEFORE_RESEND
    is_waiting = stated.state in (TransferState.ACCEPTED, TransferState.PROCESSING)
    return is_waiting and (was_refused or now - bill.sent_at >= STUCK_AFTER)


def must_rebuild(bill: Bill, stated: Transfer | None) -> bool:
    """Whether a bill that is sent again needs a new body, since a setting was corrected.

    The number prevents that both bodies are paid.
    """
    return stated is None and bill.problem == BODY_REFUSED


def must_cancel(bill: Bill, withdrawal: Withdrawal) -> bool:
    """Whether WeChat Pay is to be asked to cancel the bill."""
    at_wechat = bill.state in (WithdrawalState.SUBMITTED, WithdrawalState.AWAITING_USER)
    return withdrawal.is_cancelling and at_wechat
