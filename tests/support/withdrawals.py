"""A withdrawal as the rules see it, statements of WeChat Pay about it, and its limits."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger.transfers import Transfer, TransferBody, TransferState
from ledger.withdrawal_requests import Payee, WithdrawalLimits, request_withdrawal
from ledger.withdrawals import Withdrawal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "W202603011200000a1b2c3d4e5f60"
FIRST, SECOND = f"{ID}01", f"{ID}02"
"""Numbers of the bills."""
RATE = Decimal("0.1")
"""10 fen per income."""
PAYEE = Payee("anna", "wx1", "o1")
LIMITS = WithdrawalLimits(
    min_fen=100,
    bill_fen=20_000,
    transfer_fen=200_000,
    user_day_fen=200_000,
    day_fen=5_000_000,
    auto_fen=0,
    second_person_fen=100_000,
)


def requested(income: int = 100, request_id: str = "r1", **limits: int) -> Withdrawal:
    """A withdrawal of anna, by default of 100 income in one bill of 1,000 fen."""
    return request_withdrawal(ID, PAYEE, request_id, income, RATE, replace(LIMITS, **limits), NOW)


def submitted(income: int = 100, **limits: int) -> Withdrawal:
    """One whose bills are all with WeChat Pay."""
    withdrawal = requested(income, **limits)
    while withdrawal.state == "requested":
        withdrawal = withdrawal.approve(f"operator {len(withdrawal.approvals) + 1}")
    for bill in withdrawal.bills:
        withdrawal = withdrawal.submit(bill.number, TransferBody(f"body of {bill.number}"), NOW)
    return withdrawal


def stated(state: TransferState, number: str = FIRST, **fields: Any) -> Transfer:
    """What a query or a notice says about a bill, by default the first one, of 1,000 fen."""
    return Transfer(**{"number": number, "state": state, "fen": 1_000, "openid": "o1", **fields})
