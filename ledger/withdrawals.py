"""Rules of a withdrawal: a host's income, paid to their WeChat balance by one or more bills.

A bill goes one way: requested, approved, submitted, awaiting_user, then paid or returned. Only a
payout or a return takes income out of the hold of a withdrawal; the number of the bill is its key,
so that one of the two happens, once. Every method returns a new value and changes nothing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from ledger.errors import NotCancellable
from ledger.journal import HOUSE, JournalEntry, Posting, held_account, user_account
from ledger.transfers import (
    FINAL_STATES,
    REAL_NAME_FEN,
    MismatchReason,
    Transfer,
    TransferBody,
    TransferMismatch,
    TransferState,
)

WECHAT = "wechat"
"""`by` of the entries that a statement of WeChat Pay causes."""


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


class WithdrawalChange(NamedTuple):
    """A withdrawal after a change, and the journal entries to write with it."""

    withdrawal: "Withdrawal"
    entries: tuple[JournalEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Income that is to be paid as `fen` to the WeChat balance of its user."""

    id: str
    """Digits and letters; the numbers of the bills begin with it."""
    user_id: str
    app_id: str
    openid: str
    request_id: str
    income: int
    fen: int
    rate: Decimal
    """Yuan per income when it was requested."""
    requested_at: datetime
    bills: tuple[Bill, ...]
    operators_needed: int = 1
    """Different operators who have to approve it; 0: none."""
    approvals: tuple[str, ...] = ()
    """Operators who have approved it."""
    decided_by: str = ""
    """Who declined or cancelled it; "" for nobody."""
    decided_at: datetime | None = None
    reason: str = ""
    """Why it was declined or cancelled."""
    state_since: datetime | None = None
    """When it entered its state; None: when it was requested, or not known."""
    version: int = 0
    """Number of changes; guards the stored document."""

    @property
    def state(self) -> WithdrawalState:
        """Paid or returned once all bills are final, until then that of the least advanced."""
        return min((bill.state for bill in self.bills), key=ORDER.__getitem__)

    @property
    def is_open(self) -> bool:
        return not self.state.is_final

    @property
    def is_cancelling(self) -> bool:
        """Whether its submitted bills are to be cancelled at WeChat Pay."""
        return bool(self.decided_by) and self.is_open

    @property
    def is_being_submitted(self) -> bool:
        """Whether the request for it may still wait for WeChat Pay's answer."""
        waits = (WithdrawalState.APPROVED, WithdrawalState.SUBMITTED)
        return not self.operators_needed and any(
            bill.state in waits and not bill.problem for bill in self.bills
        )

    @property
    def held_income(self) -> int:
        """Income in its held account: that of the bills that are not final."""
        return sum(bill.income for bill in self.bills if not bill.state.is_final)

    @property
    def counted_fen(self) -> int:
        """Fen that count against the limits of a day: those of the bills not returned."""
        return sum(bill.fen for bill in self.bills if bill.state != WithdrawalState.RETURNED)

    @property
    def paid_fen(self) -> int:
        return sum(bill.fen for bill in self.bills if bill.state == WithdrawalState.PAID)

    @property
    def package(self) -> str:
        """package_info of the first bill that the user has to confirm, else ""."""
        if self.is_cancelling:
            return ""
        waiting = (it for it in self.bills if it.state == WithdrawalState.AWAITING_USER)
        return next((bill.package for bill in waiting if bill.package), "")

    @property
    def fail_reason(self) -> str:
        """Why WeChat Pay did not pay the last bill that it returned, else ""."""
        return next((bill.fail_reason for bill in reversed(self.bills) if bill.fail_reason), "")

    @property
    def needs_real_name(self) -> bool:
        return any(bill.fen >= REAL_NAME_FEN for bill in self.bills)

    def note_state_change(self, before: "Withdrawal", now: datetime) -> "Withdrawal":
        """Keep the time of its change from `before`, if that had another state."""
        return self if self.state == before.state else replace(self, state_since=now)

    def bill(self, number: str) -> Bill:
        """The bill with this number; raises TransferMismatch."""
        for bill in self.bills:
            if bill.number == number:
                return bill
        raise TransferMismatch(MismatchReason.BILL)

    # ---- decisions

    def approve(self, by: str) -> "Withdrawal":
        """Add the approval of an operator; all bills are approved once there are enough.

        Only for one that is requested, and that `by` has not approved yet.
        """
        approvals = (*self.approvals, by)
        if len(approvals) < self.operators_needed:
            return replace(self, approvals=approvals)
        bills = tuple(replace(bill, state=WithdrawalState.APPROVED) for bill in self.bills)
        return replace(self, approvals=approvals, bills=bills)

    def drop_approvals(self, names: Collection[str]) -> "Withdrawal":
        """Forget approvals of these operators; only for one that is requested."""
        return replace(self, approvals=tuple(it for it in self.approvals if it not in names))

    def give_back(self, by: str, reason: str, now: datetime) -> WithdrawalChange:
        """Decline or cancel it: return the bills that are not submitted yet.

        The others are to be cancelled at WeChat Pay (`is_cancelling`), which may have paid them.
        Repeated, the first decision stays. Raises NotCancellable when all bills are final.
        """
        if not self.is_open:
            raise NotCancellable
        unsubmitted = [bill for bill in self.bills if bill.state.is_unsubmitted]
        returned = [_finished(bill, WithdrawalState.RETURNED, now) for bill in unsubmitted]
        entries = tuple(return_entry(self, bill, by, reason) for bill in returned)
        changed = self._with(*returned)
        if not self.decided_by:
            changed = replace(changed, decided_by=by, reason=reason, decided_at=now)
        return WithdrawalChange(changed, entries)

    # ---- WeChat Pay

    def submit(self, number: str, body: TransferBody, now: datetime) -> "Withdrawal":
        """Keep the body before it is sent; only for an approved bill."""
        state = WithdrawalState.SUBMITTED
        return self._update(number, lambda bill: _sent(bill, body, now, state=state, sent_at=now))

    def resend(self, number: str, body: TransferBody, now: datetime) -> "Withdrawal":
        """Note that the bill is sent again: with its body, unless that must be another one."""
        return self._update(number, lambda bill: _sent(bill, body, now))

    def note_problem(self, number: str, problem: str) -> "Withdrawal":
        """Keep the code of a call that was refused or unclear."""
        return self._update(number, lambda bill: replace(bill, problem=problem))

    def note_refusal(self, number: str, code: str) -> "Withdrawal":
        """Keep the code with which WeChat Pay has clearly refused the body just sent."""
        return self._update(number, lambda bill: replace(bill, problem=code, refusal=code))

    def note_missing(self, number: str, now: datetime) -> "Withdrawal":
        """Count a query that did not find the bill."""
        return self._update(
            number, lambda bill: replace(bill, missing=bill.missing + 1, missed_at=now)
        )

    def return_missing(self, number: str, now: datetime) -> WithdrawalChange:
        """Return a bill that WeChat Pay refused and does not have; only if `must_return`."""
        bill = self.bill(number)
        finished = _finished(bill, WithdrawalState.RETURNED, now)
        finished = replace(finished, fail_reason=bill.refusal)
        entry = return_entry(self, finished, self.decided_by, self.reason)
        return WithdrawalChange(self._with(finished), (entry,))

    def apply(self, transfer: Transfer, now: datetime) -> WithdrawalChange:
        """Apply what WeChat Pay states about a bill; an older state changes nothing.

        A final state counts only together with the amount, which a query and a notice have.
        Raises TransferMismatch.
        """
        bill = self.bill(transfer.number)
        self._check(bill, transfer)
        state = _MEANING.get(transfer.state, bill.state)
        if transfer.state in FINAL_STATES and transfer.fen is None:
            return WithdrawalChange(self)
        if bill.state.is_final or ORDER[state] < ORDER[bill.state]:
            return WithdrawalChange(self)
        stated = replace(
            bill,
            package=transfer.package or bill.package,
            wechat_number=transfer.wechat_number or bill.wechat_number,
            problem=bill.problem if state == WithdrawalState.SUBMITTED else "",
            missing=0,
        )
        if not state.is_final:
            return WithdrawalChange(self._with(replace(stated, state=state)))
        finished = _finished(stated, state, now)
        if state == WithdrawalState.PAID:
            return WithdrawalChange(self._with(finished), (payout_entry(self, finished),))
        reason = transfer.fail_reason or transfer.state.value
        finished = replace(finished, fail_reason=reason)
        return WithdrawalChange(
            self._with(finished), (return_entry(self, finished, WECHAT, reason),)
        )

    def _check(self, bill: Bill, transfer: Transfer) -> None:
        state = _MEANING.get(transfer.state, bill.state)
        contradicts = bill.state.is_final and state.is_final and state != bill.state
        matches = {
            MismatchReason.AMOUNT: transfer.fen in (None, bill.fen),
            MismatchReason.PAYEE: transfer.openid in (None, self.openid),
            MismatchReason.STATE: not (bill.state.is_unsubmitted or contradicts),
        }
        for reason, matched in matches.items():
            if not matched:
                raise TransferMismatch(reason)

    def _update(self, number: str, change: Callable[[Bill], Bill]) -> "Withdrawal":
        """A final bill stays as it is: a notice may overtake the answer to a call."""
        bill = self.bill(number)
        return self if bill.state.is_final else self._with(change(bill))

    def _with(self, *changed: Bill) -> "Withdrawal":
        by_number = {bill.number: bill for bill in changed}
        return replace(self, bills=tuple(by_number.get(it.number, it) for it in self.bills))


def _sent(bill: Bill, body: TransferBody, now: datetime, **changes: Any) -> Bill:
    """The bill as its body is sent, before the answer."""
    return replace(
        bill,
        body=body.text,
        serial=body.serial,
        last_sent_at=now,
        missing=0,
        missed_at=None,
        refusal="",
        **changes,
    )


def _finished(bill: Bill, state: WithdrawalState, now: datetime) -> Bill:
    return replace(bill, state=state, finished_at=now)


def withdrawal_key(user_id: str, request_id: str) -> str:
    """Idempotency key of the only entry of a request to withdraw."""
    return f"withdrawal:{user_id}:{request_id}"


def payout_key(bill: str) -> str:
    return f"payout:{bill}"


def return_key(bill: str) -> str:
    return f"return:{bill}"


def withdrawal_of(bill: str) -> str:
    """Id of the withdrawal to which a bill number belongs."""
    return bill[:-2]


def payout_entry(withdrawal: Withdrawal, bill: Bill) -> JournalEntry:
    """The bill is paid: its income leaves the hold for the house."""
    content = {
        "withdrawal": withdrawal.id,
        "bill": bill.number,
        "fen": bill.fen,
        "wechat_number": bill.wechat_number,
    }
    lines = _out_of_hold(withdrawal, bill, HOUSE)
    return JournalEntry(payout_key(bill.number), "payout", WECHAT, lines, content)


def return_entry(withdrawal: Withdrawal, bill: Bill, by: str, reason: str) -> JournalEntry:
    """The bill is not paid: its income leaves the hold for the user."""
    content = {"withdrawal": withdrawal.id, "bill": bill.number, "fen": bill.fen, "reason": reason}
    lines = _out_of_hold(withdrawal, bill, user_account(withdrawal.user_id))
    return JournalEntry(return_key(bill.number), "return", by, lines, content)


def _out_of_hold(withdrawal: Withdrawal, bill: Bill, account: str) -> tuple[Posting, ...]:
    held = Posting(held_account(withdrawal.id), "income", -bill.income)
    return (held, Posting(account, "income", bill.income)) if bill.income else ()
