"""Rules of transfers at WeChat Pay that are not final: when to query and when to send again."""

from datetime import datetime, timedelta

from core.retry import FAILED_TRANSFERS, TRANSFERS
from ledger.transfers import Transfer, TransferState
from ledger.withdrawals import Withdrawal, WithdrawalState

SUBMIT_AFTER = timedelta(seconds=2)
"""Delay before the sweep submits an approved withdrawal, which the approval submits first."""
MISSING_BEFORE_RESEND = 2
"""Queries without a result before a transfer is sent again; WeChat Pay may not list it yet."""
STUCK_AFTER = TRANSFERS.first[-1]
"""Time in which WeChat Pay locks the funds; the transfer is sent again if they were too low."""
NOT_ENOUGH, FREQUENCY_LIMITED = "NOT_ENOUGH", "FREQUENCY_LIMITED"
NOT_TAKEN = (NOT_ENOUGH, FREQUENCY_LIMITED)
"""Refusals after which the same request is sent again, unless a query finds the transfer."""
SETTING_REFUSALS = ("PARAM_ERROR", "INVALID_REQUEST", "NO_AUTH")
"""Refusals until a setting is corrected, here or at WeChat Pay. The transfer then gets a new body,
under the same number."""
CLEAR_REFUSALS = (*SETTING_REFUSALS, *NOT_TAKEN, "SIGN_ERROR")
"""Answers that prove that WeChat Pay has not accepted a transfer; others prove nothing."""
MISSING_BEFORE_RETURN = 3
RETURN_AFTER = timedelta(days=1)
"""Age at which a cancelled transfer that no query has found is returned. WeChat Pay closes every
transfer that it has within this time."""
QUERYABLE_FOR = timedelta(days=30)
"""Age up to which WeChat Pay answers queries; "not found" proves nothing about older ones."""
UNCLEAR = "UNCLEAR"
"""Problem of a call that failed or whose answer is not trusted."""


def next_check_at(withdrawal: Withdrawal, now: datetime) -> datetime | None:
    """Return when the withdrawal needs attention next; None while WeChat Pay is not concerned."""
    if withdrawal.state == WithdrawalState.APPROVED:
        return now + SUBMIT_AFTER
    if withdrawal.sent_at is None or not withdrawal.is_open:
        return None
    begin = max(withdrawal.sent_at, withdrawal.decided_at or withdrawal.sent_at)
    delays = FAILED_TRANSFERS if withdrawal.problem else TRANSFERS
    return delays.next_check(begin, now)


def must_resend(withdrawal: Withdrawal, stated: Transfer | None, now: datetime) -> bool:
    """Return whether to send the transfer again, after a query has answered `stated`.

    This is also the only way to get the package, which no query returns, if the first answer was
    lost or came before the funds were locked. A transfer that is to be cancelled is sent again only
    while it is unknown whether WeChat Pay accepted it.
    """
    if withdrawal.is_cancelling and (stated is not None or withdrawal.refusal):
        return False
    if withdrawal.state == WithdrawalState.AWAITING_USER and not withdrawal.package_info:
        return stated is not None and stated.state == TransferState.WAIT_USER_CONFIRM
    if withdrawal.state != WithdrawalState.SUBMITTED or withdrawal.sent_at is None:
        return False
    was_refused = withdrawal.problem in NOT_TAKEN
    if stated is None:
        return was_refused or withdrawal.missing >= MISSING_BEFORE_RESEND
    is_waiting = stated.state in (TransferState.ACCEPTED, TransferState.PROCESSING)
    return is_waiting and (was_refused or now - withdrawal.sent_at >= STUCK_AFTER)


def must_rebuild(withdrawal: Withdrawal, stated: Transfer | None) -> bool:
    """Return whether a transfer that is sent again needs a new body, for a corrected setting.

    Both bodies have the same number, so that only one of them can be paid.
    """
    return stated is None and withdrawal.refusal in SETTING_REFUSALS


def must_return(withdrawal: Withdrawal, now: datetime) -> bool:
    """Return whether a cancelled transfer never reached WeChat Pay.

    This is asked after a query that did not find it. WeChat Pay has clearly refused the last
    request, has never stated anything about the transfer, and has not found it for a day, while it
    still answers queries about it. A lost answer is not a refusal.
    """
    is_unknown = withdrawal.state == WithdrawalState.SUBMITTED and not withdrawal.wechat_number
    sent_at = withdrawal.last_sent_at
    if not (withdrawal.is_cancelling and is_unknown and withdrawal.refusal and sent_at):
        return False
    is_conclusive = RETURN_AFTER <= now - sent_at < QUERYABLE_FOR
    return withdrawal.missing >= MISSING_BEFORE_RETURN and is_conclusive
