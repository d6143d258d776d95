"""Rules of a bill: one transfer of a withdrawal at WeChat Pay.

A bill goes one way: requested, approved, submitted, awaiting_user, then paid or returned. Every
method returns a new value and changes nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from ledger.transfers import (
    FINAL_STATES,
    MismatchReason,
    Transfer,
    TransferBody,
    TransferMismatch,
    TransferState,
)


class WithdrawalState(StrEnum):
    """States of a bill and of a withdrawal, in their order: a stored word, and one on the wire."""

    REQUESTED = "requested"
    APPROVED = "approved"
    SUBMITTED = "submitted"
    AWAITING_USER = "awaiting_user"
    PAID = "paid"
    RETURNED = "returned"

    @property
    def is_final(self) -> bool:
        return self in (WithdrawalState.PAID, WithdrawalState.RETURNED)

    @property
    def is_unsubmitted(self) -> bool:
        """Whether WeChat Pay cannot know of the bill: it is returned without asking there."""
        return self in (WithdrawalState.REQUESTED, WithdrawalState.APPROVED)


ORDER = {state: position for position, state in enumerate(WithdrawalState)}
OPEN_STATES = tuple(state for state in WithdrawalState if not state.is_final)
_MEANING = {
    TransferState.ACCEPTED: WithdrawalState.SUBMITTED,
    TransferState.PROCESSING: WithdrawalState.SUBMITTED,
    TransferState.WAIT_USER_CONFIRM: WithdrawalState.AWAITING_USER,
    TransferState.TRANSFERING: WithdrawalState.AWAITING_USER,
    TransferState.SUCCESS: WithdrawalState.PAID,
    TransferState.FAIL: WithdrawalState.RETURNED,
    TransferState.CANCELLED: WithdrawalState.RETURNED,
}
"""What a state at WeChat Pay means for a bill; CANCELING changes nothing."""


@dataclass(frozen=True, slots=True)
class Bill:
    """One transfer at WeChat Pay; `number` is its out_bill_no, for ever the same."""

    number: str
    fen: int
    income: int
    state: WithdrawalState = WithdrawalState.REQUESTED
    body: str = ""
    """The request as it was sent: repeated byte by byte, since WeChat refuses another body."""
    serial: str = ""
    """Names the key that encrypted the real name in the body, whatever the key is now."""
    sent_at: datetime | None = None
    """When the body was sent first."""
    finished_at: datetime | None = None
    package: str = ""
    """package_info for the client; only the answer to the first request has it."""
    wechat_number: str = ""
    fail_reason: str = ""
    problem: str = ""
    """Code of the last call that was refused or unclear, "" once the bill has got further."""
    refusal: str = ""
    """Code with which the body was refused when it was last sent; "" if it was not."""
    last_sent_at: datetime | None = None
    missing: int = 0
    """Queries since the body was last sent that did not find the bill."""
    missed_at: datetime | None = None
    """When the last of them was counted."""

    @property
    def sent_body(self) -> TransferBody:
        """What is sent again."""
        return TransferBody(self.body, self.serial)

    def submit(self, body: TransferBody, now: datetime) -> "Bill":
        """The bill before it is sent for the first time."""
        return replace(self.resend(body, now), state=WithdrawalState.SUBMITTED, sent_at=now)

    def resend(self, body: TransferBody, now: datetime) -> "Bill":
        """The bill before it is sent again."""
        return replace(
            self,
            body=body.text,
            serial=body.serial,
            last_sent_at=now,
            missing=0,
            missed_at=None,
            refusal="",
        )

    def give_back(self, now: datetime, fail_reason: str = "") -> "Bill":
        return replace(
            self, state=WithdrawalState.RETURNED, finished_at=now, fail_reason=fail_reason
        )

    def check(self, transfer: Transfer, openid: str) -> None:
        """Whether the statement fits the bill of this payee; raises TransferMismatch."""
        state = self._state_in(transfer)
        contradicts = self.state.is_final and state.is_final and state != self.state
        matches = {
            MismatchReason.AMOUNT: transfer.fen in (None, self.fen),
            MismatchReason.PAYEE: transfer.openid in (None, openid),
            MismatchReason.STATE: not (self.state.is_unsubmitted or contradicts),
        }
        for reason, matched in matches.items():
            if not matched:
                raise TransferMismatch(reason)

    def apply(self, transfer: Transfer, now: datetime) -> "Bill":
        """The bill as WeChat Pay states it; an older state changes nothing.

        A final state counts only together with the amount, which a query and a notice have.
        """
        state = self._state_in(transfer)
        lacks_amount = transfer.state in FINAL_STATES and transfer.fen is None
        if lacks_amount or self.state.is_final or ORDER[state] < ORDER[self.state]:
            return self
        stated = replace(
            self,
            state=state,
            package=transfer.package or self.package,
            wechat_number=transfer.wechat_number or self.wechat_number,
            problem=self.problem if state == WithdrawalState.SUBMITTED else "",
            missing=0,
        )
        if state == WithdrawalState.RETURNED:
            return stated.give_back(now, transfer.fail_reason or transfer.state.value)
        return replace(stated, finished_at=now if state.is_final else None)

    def _state_in(self, transfer: Transfer) -> WithdrawalState:
        return _MEANING.get(transfer.state, self.state)


def withdrawal_of(bill: str) -> str:
    """Id of the withdrawal to which a bill number belongs."""
    return bill[:-2]
