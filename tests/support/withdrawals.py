"""A withdrawal as the rules see it, statements of WeChat Pay about it, and its limits."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger.transfers import Transfer, TransferBody, TransferState
from ledger.withdrawal_requests import (
    Payee,
    UserDay,
    WithdrawalLimits,
    accept_request,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "W202603011200000a1b2c3d4e5f60"
RATE = Decimal("0.1")
"""10 fen per income."""
PAYEE = Payee("anna", "wx1", "o1")
LIMITS = WithdrawalLimits(
    min_fen=100,
    max_fen=200_000,
    user_day_fen=200_000,
    day_fen=5_000_000,
    auto_fen=0,
    second_person_fen=100_000,
)


def requested(
    income: int = 100,
    request_id: str = "r1",
    *,
    earlier: UserDay = UserDay(),  # noqa: B008 - immutable
    **limits: int,
) -> Withdrawal:
    """A withdrawal of anna, by default of 100 income for 1,000 fen."""
    changed = replace(LIMITS, **limits)
    withdrawal = request_withdrawal(ID, PAYEE, request_id, income, RATE, changed, NOW)
    return accept_request(withdrawal, changed, earlier, matured=income, has_real_name=True)


def submitted(income: int = 100, **limits: int) -> Withdrawal:
    """One that WeChat Pay has been sent."""
    withdrawal = requested(income, **limits)
    while withdrawal.state == "requested":
        withdrawal = withdrawal.approve(f"operator {len(withdrawal.approvals) + 1}")
    return withdrawal.submit(TransferBody("body"), NOW)


def stated(state: TransferState, **fields: Any) -> Transfer:
    """What a query or a notice says about the transfer, by default of 1,000 fen."""
    return Transfer(**{"number": ID, "state": state, "fen": 1_000, "openid": "o1", **fields})
