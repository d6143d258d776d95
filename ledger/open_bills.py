"""Rules of bills at WeChat Pay that are not final: when to query them, and when to send again."""

from datetime import datetime, timedelta

from ledger.bills import Bill, WithdrawalState
from ledger.transfers import Transfer, TransferState
from ledger.withdrawals import Withdrawal

PROBLEM_CHECK_EVERY = timedelta(minutes=5)
"""Longest interval for a bill with a problem, so that one failed query is not one for an hour."""
SUBMIT_AFTER = timedelta(seconds=2)
"""When the sweep submits an approved bill: the request that created it may be doing so."""
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
SETTING_REFUSALS = ("PARAM_ERROR", "INVALID_REQUEST", "NO_AUTH")
"""WeChat Pay does not take this body before a setting is corrected, here or there: sent again, the
bill gets a new body, under its number."""
CLEAR_REFUSALS = (*SETTING_REFUSALS, *NOT_TAKEN, "SIGN_ERROR")
"""Answers to sending a bill by which WeChat Pay has not accepted it; others may mean anything."""
MISSING_BEFORE_RETURN = 3
RETURN_AFTER = timedelta(days=1)
"""Time since a cancelled bill was last sent, in which no query found it, until it is returned:
WeChat Pay closes the bills that it has within it."""
QUERYABLE_FOR = timedelta(days=30)
"""Age up to which WeChat Pay answers queries of a bill: later, "not found" proves nothing."""
MISS_INTERVAL = timedelta(seconds=45)
"""A query that does not find a bill counts once within it, however often it is repeated: less than
the shortest interval of the checks."""
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
    regular = next((at for at in later if at > now), now + CHECK_EVERY)
    return min(regular, now + PROBLEM_CHECK_EVERY) if bill.problem else regular


def counts_as_missing(bill: Bill, now: datetime) -> bool:
    """Whether a query that does not find the bill is another one, not the last one repeated."""
    return bill.missed_at is None or now - bill.missed_at >= MISS_INTERVAL


def must_resend(
    bill: Bill, stated: Transfer | None, now: datetime, *, is_cancelling: bool = False
) -> bool:
    """Whether the bill is to be sent again, after a query has answered `stated`.

    Also for the package of a bill whose first answer was lost, or came before the funds were
    locked: no query has it. One that is to be cancelled is sent again only if WeChat Pay may or may
    not have got it: its answer decides that.
    """
    if is_cancelling and (stated is not None or bill.refusal):
        return False
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
    return stated is None and bill.refusal in SETTING_REFUSALS


def must_return(bill: Bill, withdrawal: Withdrawal, now: datetime) -> bool:
    """Whether a cancelled bill never reached WeChat Pay, after a query that did not find it.

    It refused the bill clearly when it was last sent, has never stated anything about it, and has
    not had it for a day, nor is the bill too old for a query. A lost answer is no refusal.
    """
    is_unknown = bill.state == WithdrawalState.SUBMITTED and not bill.wechat_number
    if not (withdrawal.is_cancelling and is_unknown and bill.refusal and bill.last_sent_at):
        return False
    is_conclusive = RETURN_AFTER <= now - bill.last_sent_at < QUERYABLE_FOR
    return bill.missing >= MISSING_BEFORE_RETURN and is_conclusive


def must_cancel(bill: Bill, withdrawal: Withdrawal) -> bool:
    """Whether WeChat Pay is to be asked to cancel the bill."""
    at_wechat = bill.state in (WithdrawalState.SUBMITTED, WithdrawalState.AWAITING_USER)
    return withdrawal.is_cancelling and at_wechat
