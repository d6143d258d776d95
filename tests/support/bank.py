"""WeChat Pay's transfers in memory, with the failures that a network adds."""

import asyncio
import json
from dataclasses import dataclass, field

from core.errors import RateLimited
from ledger.transfers import (
    FINAL_STATES,
    Transfer,
    TransferBody,
    TransferRequest,
    TransferState,
)
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.notifications import TRANSFERS, MerchantNotifications

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
        default_factory=lambda: MerchantNotifications("1900000109", {}, "k" * 32, TRANSFERS)
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
        number = self._take(body.text)
        if self.answers:
            await self.answers.wait()
        if failure == UNCLEAR:
            raise ServiceUnavailable("pay")
        package = f"package of {number}"
        state = self.bills[number].state
        return Transfer(number, state, f"13300{number}", package=package)

    def _take(self, body: str) -> str:
        request = json.loads(body)
        number = str(request["number"])
        bill = BankBill(body, request["fen"], request["openid"])
        if self.bills.setdefault(number, bill).body != body:
            raise MerchantRefused("INVALID_REQUEST")
        return number

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
        """What a query or a notice says."""
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
        """The user confirms the bill, or it is closed; the notice about it."""
        bill = self.bills[number]
        assert bill.state not in FINAL_STATES
        bill.state, bill.fail_reason = state, fail_reason
        return self.statement(number)

    @property
    def paid_fen(self) -> int:
        paid = (bill for bill in self.bills.values() if bill.state == TransferState.SUCCESS)
        return sum(bill.fen for bill in paid)
