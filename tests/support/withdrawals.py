"""A withdrawal as the rules see it, its limits, and the bank of WeChat Pay in memory."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from core.errors import RateLimited
from ledger.transfers import (
    FINAL_STATES,
    Transfer,
    TransferBody,
    TransferRequest,
    TransferState,
)
from ledger.withdrawal_requests import (
    Payee,
    UserDay,
    WithdrawalLimits,
    accept_request,
    request_withdrawal,
)
from ledger.withdrawals import Withdrawal
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.merchant import MerchantNotifications
from tencent.transfers import TRANSFERS

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
    """A withdrawal that was sent to WeChat Pay."""
    withdrawal = requested(income, **limits)
    while withdrawal.state == "requested":
        withdrawal = withdrawal.approve(f"operator {len(withdrawal.approvals) + 1}")
    return withdrawal.submit(TransferBody("body"), NOW)


def stated(state: TransferState, **fields: Any) -> Transfer:
    """The transfer as a query or a notification reports it, by default of 1,000 fen."""
    return Transfer(**{"number": ID, "state": state, "fen": 1_000, "openid": "o1", **fields})


def learned(withdrawal: Withdrawal, *states: TransferState) -> Withdrawal:
    """The withdrawal after WeChat Pay has stated these."""
    for state in states:
        withdrawal = withdrawal.apply(stated(state), NOW).withdrawal
    return withdrawal


UNCLEAR, LOST, TOO_FAST = "unclear", "lost", "too fast"
"""Failures of a call besides refusals: no answer after it was carried out, no answer and never
carried out, and refused as too fast."""


@dataclass(slots=True)
class BankBill:
    body: str
    fen: int
    openid: str
    state: TransferState = TransferState.WAIT_USER_CONFIRM
    fail_reason: str = ""


MERCHANT: Any = SimpleNamespace(mchid="1900000109", apiv3_key="k" * 32, keys={})


@dataclass(slots=True)
class BankInMemory:
    """Accepts each number once and pays it once.

    `failures` apply to the next calls of `create`: UNCLEAR, LOST, TOO_FAST, or an error code of
    WeChat Pay, after which there is no bill.
    """

    bills: dict[str, BankBill] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    sent: list[TransferBody] = field(default_factory=list)
    """Bodies of all calls to create."""
    serial: str = ""
    """Names the key that encrypts names now."""
    cancelled: list[str] = field(default_factory=list)
    cancels: bool = True
    """Whether a cancellation takes effect at once."""
    down: bool = False
    queries: int = 0
    answers: asyncio.Event | None = None
    """If set, a call to create or query is carried out and then waits for it."""
    notifications: MerchantNotifications[Transfer] = field(
        default_factory=lambda: MerchantNotifications(MERCHANT, TRANSFERS)
    )

    def body(self, request: TransferRequest) -> TransferBody:
        """Unique like one with an encrypted name."""
        fields = {name: getattr(request, name) for name in TransferRequest.__slots__}
        return TransferBody(json.dumps({**fields, "nonce": len(self.sent)}), self.serial)

    async def create(self, body: TransferBody) -> Transfer:
        self.sent.append(body)
        failure = self.failures.pop(0) if self.failures else ""
        if failure == TOO_FAST:
            raise RateLimited
        if failure == LOST:
            raise ServiceUnavailable("pay")
        if failure not in ("", UNCLEAR):
            raise MerchantRefused(failure)
        request = json.loads(body.text)
        number = str(request["number"])
        bill = BankBill(body.text, request["fen"], request["openid"])
        if self.bills.setdefault(number, bill).body != body.text:
            raise MerchantRefused("INVALID_REQUEST")
        if self.answers:
            await self.answers.wait()
        if failure == UNCLEAR:
            raise ServiceUnavailable("pay")
        package = f"package of {number}"
        state = self.bills[number].state
        return Transfer(number, state, f"13300{number}", package=package)

    async def query(self, number: str) -> Transfer | None:
        self.queries += 1
        if self.down:
            raise ServiceUnavailable("pay")
        stated = self.statement(number) if number in self.bills else None
        if self.answers:
            await self.answers.wait()
        return stated

    async def cancel(self, number: str) -> Transfer:
        self.cancelled.append(number)
        bill = self.bills.get(number)
        if bill is None or bill.state not in (
            *(TransferState.ACCEPTED, TransferState.PROCESSING),
            TransferState.WAIT_USER_CONFIRM,
        ):
            raise MerchantRefused("INVALID_REQUEST")
        bill.state = TransferState.CANCELLED if self.cancels else TransferState.CANCELING
        return Transfer(number, TransferState.CANCELING)

    def statement(self, number: str) -> Transfer:
        """The transfer as a query or a notification reports it."""
        bill = self.bills[number]
        return Transfer(
            number,
            bill.state,
            f"13300{number}",
            bill.fen,
            bill.openid,
            fail_reason=bill.fail_reason,
        )

    def finish(self, number: str, state: TransferState, fail_reason: str = "") -> Transfer:
        """The user confirms the bill, or it is closed; the notification about it."""
        bill = self.bills[number]
        assert bill.state not in FINAL_STATES
        bill.state, bill.fail_reason = state, fail_reason
        return self.statement(number)

    @property
    def paid_fen(self) -> int:
        paid = (bill for bill in self.bills.values() if bill.state == TransferState.SUCCESS)
        return sum(bill.fen for bill in paid)
