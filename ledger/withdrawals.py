"""Rules of a withdrawal: a host's income, paid to their WeChat balance by one or more bills.

Only a payout or a return takes income out of the hold of a withdrawal; the number of the bill is
its key, so that one of the two happens, once. Every method returns a new value and changes nothing.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from ledger.bills import ORDER, Bill, WithdrawalState
from ledger.errors import NotCancellable
from ledger.journal import JournalEntry
from ledger.transfers import (
    REAL_NAME_FEN,
    MismatchReason,
    Transfer,
    TransferBody,
    TransferMismatch,
)
from ledger.withdrawal_entries import WECHAT, payout_entry, return_entry


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
        """By its sum: WeChat Pay's limit must not depend on how it is split into bills."""
        return self.fen >= REAL_NAME_FEN

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
        returned = [bill.give_back(now) for bill in self.bills if bill.state.is_unsubmitted]
        entries = tuple(return_entry(bill, self.user_id, by, reason) for bill in returned)
        changed = self._with(*returned)
        if not self.decided_by:
            changed = replace(changed, decided_by=by, reason=reason, decided_at=now)
        return WithdrawalChange(changed, entries)

    # ---- WeChat Pay

    def submit(self, number: str, body: TransferBody, now: datetime) -> "Withdrawal":
        """Keep the body before it is sent; only for an approved bill."""
        return self._update(number, lambda bill: bill.submit(body, now))

    def resend(self, number: str, body: TransferBody, now: datetime) -> "Withdrawal":
        """Note that the bill is sent again: with its body, unless that must be another one."""
        return self._update(number, lambda bill: bill.resend(body, now))

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
        returned = bill.give_back(now, bill.refusal)
        entry = return_entry(returned, self.user_id, self.decided_by, self.reason)
        return WithdrawalChange(self._with(returned), (entry,))

    def apply(self, transfer: Transfer, now: datetime) -> WithdrawalChange:
        """Apply what WeChat Pay states about a bill; see there. Raises TransferMismatch."""
        bill = self.bill(transfer.number)
        bill.check(transfer, self.openid)
        stated = bill.apply(transfer, now)
        changed = self._with(stated)
        if stated.state == bill.state or not stated.state.is_final:
            return WithdrawalChange(changed)
        if stated.state == WithdrawalState.PAID:
            return WithdrawalChange(changed, (payout_entry(stated),))
        entry = return_entry(stated, self.user_id, WECHAT, stated.fail_reason)
        return WithdrawalChange(changed, (entry,))

    def _update(self, number: str, change: Callable[[Bill], Bill]) -> "Withdrawal":
        """A final bill stays as it is: a notice may overtake the answer to a call."""
        bill = self.bill(number)
        return self if bill.state.is_final else self._with(change(bill))

    def _with(self, *changed: Bill) -> "Withdrawal":
        by_number = {bill.number: bill for bill in changed}
        return replace(self, bills=tuple(by_number.get(it.number, it) for it in self.bills))
