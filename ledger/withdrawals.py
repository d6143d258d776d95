"""Rules of a withdrawal: a host's income, paid to their WeChat balance by one transfer.

A withdrawal goes one way: requested, approved, submitted, awaiting_user, then paid or returned. Its
id is the number of its transfer at WeChat Pay, for ever, and the key of the only entry that takes
the income out of its hold: a payout or a return. Every method returns a new value and changes
nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from ledger.errors import NotCancellable, RefusalReason, refuse_mismatch
from ledger.journal import HOUSE, JournalEntry, Kind, Posting, held_account, user_account
from ledger.transfers import FINAL_STATES, Transfer, TransferBody, TransferState

WECHAT = "wechat"
"""`by` of the entries that a statement of WeChat Pay causes."""
MISS_INTERVAL = timedelta(seconds=45)
"""Queries within this period count as one that did not find the transfer. It is shorter than the
shortest interval between checks."""


class WithdrawalState(StrEnum):
    """States of a withdrawal, in their order: a stored word, and one on the wire."""

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
        """Whether WeChat Pay cannot know of the transfer: it is returned without asking there."""
        return self in (WithdrawalState.REQUESTED, WithdrawalState.APPROVED)

    @property
    def is_at_wechat(self) -> bool:
        """Whether WeChat Pay has the transfer, or may have it."""
        return self in (WithdrawalState.SUBMITTED, WithdrawalState.AWAITING_USER)


_ORDER = [*WithdrawalState]
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
"""State of a withdrawal by that of its transfer; CANCELING changes nothing."""


class WithdrawalChange(NamedTuple):
    """A withdrawal after a change, and the journal entry to write with it."""

    withdrawal: "Withdrawal"
    entry: JournalEntry | None = None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Income that is to be paid as `fen` to the WeChat balance of its user."""

    id: str
    """Digits and letters; the out_bill_no of its transfer."""
    user_id: str
    app_id: str
    openid: str
    request_id: str
    income: int
    fen: int
    rate: Decimal
    """Yuan per income when it was requested."""
    requested_at: datetime
    state: WithdrawalState = WithdrawalState.REQUESTED
    state_since: datetime | None = None
    """When it entered its state; None: when it was requested."""
    operators_needed: int = 1
    """Different operators who have to approve it; 0: none."""
    approvals: tuple[str, ...] = ()
    """Operators who have approved it."""
    decided_by: str = ""
    """Operator or user who declined or cancelled it; "" if it was neither."""
    decided_at: datetime | None = None
    reason: str = ""
    """Why it was declined or cancelled."""
    body: str = ""
    """The request as it was sent: repeated byte by byte, since WeChat refuses another body."""
    serial: str = ""
    """Serial number of the key that encrypted the real name in the body."""
    sent_at: datetime | None = None
    """When the body was sent first."""
    last_sent_at: datetime | None = None
    finished_at: datetime | None = None
    package_info: str = ""
    """For the client; only the answer to the first request has it."""
    wechat_number: str = ""
    fail_reason: str = ""
    """Why WeChat Pay did not pay."""
    problem: str = ""
    """Code of the last call that was refused or unclear, "" once the transfer has got further."""
    refusal: str = ""
    """Code with which the body was refused when it was last sent; "" if it was not."""
    missing: int = 0
    """Queries since the body was last sent that did not find the transfer."""
    missed_at: datetime | None = None
    """When the last such query was counted."""
    version: int = 0
    """Number of changes; guards the stored document."""

    @property
    def is_open(self) -> bool:
        return not self.state.is_final

    @property
    def is_cancelling(self) -> bool:
        """Whether its transfer is to be cancelled at WeChat Pay, which has it or may have it."""
        return bool(self.decided_by) and self.is_open

    @property
    def is_being_submitted(self) -> bool:
        """Whether the request for it may still wait for WeChat Pay's answer."""
        waits = self.state in (WithdrawalState.APPROVED, WithdrawalState.SUBMITTED)
        return waits and not self.operators_needed and not self.problem

    @property
    def counted_fen(self) -> int:
        """Fen that count against the limits of a day."""
        return 0 if self.state == WithdrawalState.RETURNED else self.fen

    @property
    def paid_fen(self) -> int:
        return self.fen if self.state == WithdrawalState.PAID else 0

    @property
    def package(self) -> str:
        """package_info while the user has to confirm, else ""."""
        is_awaited = self.state == WithdrawalState.AWAITING_USER and not self.is_cancelling
        return self.package_info if is_awaited else ""

    @property
    def shown_state(self) -> WithdrawalState:
        """The state for the user, who cannot confirm without the package."""
        waits = self.state == WithdrawalState.AWAITING_USER
        return WithdrawalState.SUBMITTED if waits and not self.package else self.state

    @property
    def sent_body(self) -> TransferBody:
        """The request to WeChat Pay as it was sent, to repeat it after an unclear answer."""
        return TransferBody(self.body, self.serial)

    # ---- decisions

    def approve(self, by: str) -> "Withdrawal":
        """Add the approval of an operator; it is approved once there are enough.

        Only for one that is requested, and that `by` has not approved yet.
        """
        approvals = (*self.approvals, by)
        is_enough = len(approvals) >= self.operators_needed
        state = WithdrawalState.APPROVED if is_enough else self.state
        return replace(self, approvals=approvals, state=state)

    def drop_approvals(self, names: Collection[str]) -> "Withdrawal":
        """Forget approvals of these operators; only for one that is requested."""
        return replace(self, approvals=tuple(name for name in self.approvals if name not in names))

    def give_back(self, by: str, reason: str, now: datetime) -> WithdrawalChange:
        """Decline or cancel it: return it, unless it is submitted.

        A submitted one is to be cancelled at WeChat Pay (`is_cancelling`), which may have paid it.
        Repeated, the first decision stays. Raises NotCancellable if it is final.
        """
        if not self.is_open:
            raise NotCancellable
        if self.decided_by:
            return WithdrawalChange(self)
        decided = replace(self, decided_by=by, reason=reason, decided_at=now)
        if self.state.is_unsubmitted:
            return _return(decided, by, reason, now)
        return WithdrawalChange(decided)

    # ---- WeChat Pay

    def submit(self, body: TransferBody, now: datetime) -> "Withdrawal":
        """Keep the body before it is sent for the first time; only for one that is approved."""
        return replace(self.resend(body, now), state=WithdrawalState.SUBMITTED, sent_at=now)

    def resend(self, body: TransferBody, now: datetime) -> "Withdrawal":
        """Note that the transfer is sent again, with the same body unless `must_rebuild`."""
        return self._note(
            body=body.text,
            serial=body.serial,
            last_sent_at=now,
            missing=0,
            missed_at=None,
            refusal="",
        )

    def note_problem(self, problem: str) -> "Withdrawal":
        """Keep the code of a call that was refused or unclear."""
        return self._note(problem=problem)

    def note_refusal(self, code: str) -> "Withdrawal":
        """Keep the code with which WeChat Pay has clearly refused the body just sent."""
        return self._note(problem=code, refusal=code)

    def note_missing(self, now: datetime) -> "Withdrawal":
        """Count a query that did not find the transfer, once in MISS_INTERVAL."""
        if self.missed_at and now - self.missed_at < MISS_INTERVAL:
            return self
        return self._note(missing=self.missing + 1, missed_at=now)

    def return_missing(self, now: datetime) -> WithdrawalChange:
        """Return a transfer that WeChat Pay refused and does not have; only if `must_return`."""
        return _return(self, self.decided_by, self.reason, now, self.refusal)

    def apply(self, transfer: Transfer, now: datetime) -> WithdrawalChange:
        """Apply what WeChat Pay states about the transfer; an older state changes nothing.

        A final state counts only together with the amount, which a query and a notification have.
        Raises ReportRefused if the statement does not fit.
        """
        state = _MEANING.get(transfer.state, self.state)
        contradicts = self.state.is_final and state.is_final and state != self.state
        refuse_mismatch(
            {
                RefusalReason.BILL: transfer.wechat_number == self.wechat_number
                or not (transfer.wechat_number and self.wechat_number),
                RefusalReason.APP: transfer.app_id in (None, self.app_id),
                RefusalReason.AMOUNT: transfer.fen in (None, self.fen),
                # A deleted user has no openid.
                RefusalReason.PAYEE: not self.openid or transfer.openid in (None, self.openid),
                RefusalReason.STATE: not (self.state.is_unsubmitted or contradicts),
            }
        )
        lacks_amount = transfer.state in FINAL_STATES and transfer.fen is None
        is_older = _ORDER.index(state) < _ORDER.index(self.state)
        if lacks_amount or self.state.is_final or is_older:
            return WithdrawalChange(self)
        stated = replace(
            self,
            package_info=transfer.package or self.package_info,
            wechat_number=transfer.wechat_number or self.wechat_number,
            problem=self.problem if state == WithdrawalState.SUBMITTED else "",
            missing=0,
        )
        if state == WithdrawalState.RETURNED:
            fail_reason = transfer.fail_reason or transfer.state.value
            return _return(stated, WECHAT, fail_reason, now, fail_reason)
        if state == WithdrawalState.PAID:
            paid = replace(stated, state=state, finished_at=now)
            return _release(paid, "payout", HOUSE, WECHAT, wechat_number=paid.wechat_number)
        return WithdrawalChange(replace(stated, state=state))

    def _note(self, **changes: Any) -> "Withdrawal":
        """Change it, unless it is final: a notification may overtake the answer to a call."""
        return self if self.state.is_final else replace(self, **changes)


def _return(
    withdrawal: Withdrawal, by: str, reason: str, now: datetime, fail_reason: str = ""
) -> WithdrawalChange:
    """Return it to its user; `by` and `reason` are those of the entry."""
    returned = replace(
        withdrawal, state=WithdrawalState.RETURNED, finished_at=now, fail_reason=fail_reason
    )
    return _release(returned, "return", user_account(returned.user_id), by, reason=reason)


def _release(ended: Withdrawal, kind: Kind, to: str, by: str, **content: str) -> WithdrawalChange:
    """Move the income out of its hold, to an account."""
    lines = (
        Posting(held_account(ended.id), "income", -ended.income),
        Posting(to, "income", ended.income),
    )
    whole = {"withdrawal": ended.id, "fen": ended.fen, **content}
    return WithdrawalChange(ended, JournalEntry(f"{kind}:{ended.id}", kind, by, lines, whole))
