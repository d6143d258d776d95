"""Bills of withdrawals at WeChat Pay: submit, query, send again, cancel."""

from datetime import UTC, datetime
from typing import Protocol

import structlog

from core.errors import RateLimited
from ledger.bills import Bill, WithdrawalState, withdrawal_of
from ledger.open_bills import (
    CLEAR_REFUSALS,
    FREQUENCY_LIMITED,
    UNCLEAR,
    counts_as_missing,
    must_cancel,
    must_rebuild,
    must_resend,
    must_return,
)
from ledger.transfers import Transfer, TransferBody, TransferMismatch, TransferRequest
from ledger.withdrawals import Withdrawal, WithdrawalChange
from services.withdrawal_changes import WithdrawalChanges
from storage.field_cipher import FieldCipher
from storage.payees import PayeeStore
from tencent.errors import ServiceUnavailable, TransferRefused

log = structlog.get_logger("qlive.withdrawals")

CALL_ERRORS = (TransferRefused, RateLimited, ServiceUnavailable)
"""After each of them the bill is queried before anything else happens."""


class TransferApi(Protocol):
    """Transfers at WeChat Pay; calls raise one of CALL_ERRORS."""

    def body(self, request: TransferRequest) -> TransferBody:
        """The request as it will be sent; two calls may give two texts."""

    async def create(self, body: TransferBody) -> Transfer:
        """Send a bill, the first time or again."""

    async def query(self, number: str) -> Transfer | None:
        """The state of a bill; None if WeChat Pay does not have it, or not yet."""

    async def cancel(self, number: str) -> Transfer:
        """Ask for a bill to be cancelled; a query says what came of it."""


class BillService:
    """Carries bills on to their final state, never by a second bill for the same money.

    Every method may be repeated, and run twice at once: a bill keeps its number and its body, so
    that WeChat Pay knows a repetition, and the journal takes each outcome once.
    """

    def __init__(
        self,
        changes: WithdrawalChanges,
        payees: PayeeStore,
        cipher: FieldCipher,
        transfers: TransferApi | None,
    ) -> None:
        """`transfers`: None if no merchant is configured; open bills then stay as they are."""
        self._changes = changes
        self._payees = payees
        self._cipher = cipher
        self._transfers = transfers

    async def advance(self, withdrawal: Withdrawal) -> Withdrawal:
        """Take the next step with every bill: submit approved ones, query submitted ones."""
        if self._transfers is None:
            return withdrawal
        for bill in withdrawal.bills:
            if bill.state == WithdrawalState.APPROVED:
                withdrawal = await self._submit(withdrawal, bill, self._transfers)
            elif bill.sent_at and not bill.state.is_final:
                withdrawal = await self._check(withdrawal, bill.number, self._transfers)
        return withdrawal

    async def apply(self, transfer: Transfer) -> Withdrawal:
        """Apply a verified statement of WeChat Pay about a bill.

        Raises TransferMismatch, WithdrawalNotFound.
        """
        id_, now = withdrawal_of(transfer.number), datetime.now(UTC)
        return await self._changes.change(id_, lambda it: it.apply(transfer, now))

    async def _submit(
        self, withdrawal: Withdrawal, bill: Bill, transfers: TransferApi
    ) -> Withdrawal:
        """Store the body with the state, then send it; a crash in between is like a time-out."""
        body = transfers.body(await self._request(withdrawal, bill))
        number, now = bill.number, datetime.now(UTC)

        def submit(it: Withdrawal) -> WithdrawalChange:
            is_approved = it.bill(number).state == WithdrawalState.APPROVED
            return WithdrawalChange(it.submit(number, body, now) if is_approved else it)

        withdrawal = await self._changes.change(withdrawal.id, submit)
        if withdrawal.bill(number).sent_at != now:  # returned, or submitted by another process
            return withdrawal
        return await self._send(withdrawal, number, transfers)

    async def _request(self, withdrawal: Withdrawal, bill: Bill) -> TransferRequest:
        sealed = await self._payees.real_name(withdrawal.user_id)
        name = self._cipher.decrypt(sealed, withdrawal.user_id) if sealed else ""
        return TransferRequest(
            bill.number, withdrawal.app_id, withdrawal.openid, bill.fen, name or ""
        )

    async def _send(
        self, withdrawal: Withdrawal, number: str, transfers: TransferApi
    ) -> Withdrawal:
        """Send the stored body; cancel the bill at once if that was decided meanwhile."""
        try:
            stated = await transfers.create(withdrawal.bill(number).sent_body)
        except CALL_ERRORS as error:
            withdrawal = await self._note_refusal(withdrawal, number, _problem_of(error))
        else:
            withdrawal = await self._apply_answer(withdrawal, stated)
        bill = withdrawal.bill(number)
        if must_cancel(bill, withdrawal) and not bill.refusal:
            return await self._cancel(withdrawal, number, transfers)
        return withdrawal

    async def _check(
        self, withdrawal: Withdrawal, number: str, transfers: TransferApi
    ) -> Withdrawal:
        """Query a bill; send it again or ask to cancel it, if that is due."""
        try:
            stated = await transfers.query(number)
        except CALL_ERRORS as error:
            return await self._note_problem(withdrawal, number, _problem_of(error))
        if stated:
            withdrawal = await self._apply_answer(withdrawal, stated)
        else:
            withdrawal = await self._note_missing(withdrawal, number)
        bill, now = withdrawal.bill(number), datetime.now(UTC)
        if must_resend(bill, stated, now, is_cancelling=withdrawal.is_cancelling):
            return await self._resend(withdrawal, number, stated, transfers)
        if stated and must_cancel(bill, withdrawal):
            return await self._cancel(withdrawal, number, transfers)
        return withdrawal

    async def _note_missing(self, withdrawal: Withdrawal, number: str) -> Withdrawal:
        """Count a query that did not find the bill; return one that cannot be there any more."""
        now = datetime.now(UTC)

        def miss(it: Withdrawal) -> WithdrawalChange:
            if counts_as_missing(it.bill(number), now):
                it = it.note_missing(number, now)
            if must_return(it.bill(number), it, now):
                return it.return_missing(number, now)
            return WithdrawalChange(it)

        return await self._changes.change(withdrawal.id, miss)

    async def _resend(
        self,
        withdrawal: Withdrawal,
        number: str,
        stated: Transfer | None,
        transfers: TransferApi,
    ) -> Withdrawal:
        log.info("bill_sent_again", bill=number)
        bill = withdrawal.bill(number)
        body = bill.sent_body
        if must_rebuild(bill, stated):
            body = transfers.body(await self._request(withdrawal, bill))
        now = datetime.now(UTC)
        withdrawal = await self._changes.change(
            withdrawal.id, lambda it: WithdrawalChange(it.resend(number, body, now))
        )
        return await self._send(withdrawal, number, transfers)

    async def _cancel(
        self, withdrawal: Withdrawal, number: str, transfers: TransferApi
    ) -> Withdrawal:
        """Ask to cancel a bill, and query what came of it: the answer has no amount."""
        try:
            await transfers.cancel(number)
            stated = await transfers.query(number)
        except CALL_ERRORS as error:
            return await self._note_problem(withdrawal, number, _problem_of(error))
        return await self._apply_answer(withdrawal, stated) if stated else withdrawal

    async def _apply_answer(self, withdrawal: Withdrawal, stated: Transfer) -> Withdrawal:
        """Apply the answer to a call; one that does not match is a problem of the bill."""
        try:
            return await self.apply(stated)
        except TransferMismatch as mismatch:
            problem = f"MISMATCH_{mismatch.reason.name}"
            return await self._note_problem(withdrawal, stated.number, problem)

    async def _note_refusal(self, withdrawal: Withdrawal, number: str, problem: str) -> Withdrawal:
        """Keep the answer to a bill that was sent, if it is clear or not."""
        if problem not in CLEAR_REFUSALS:
            return await self._note_problem(withdrawal, number, problem)
        log.warning("bill_call_failed", bill=number, problem=problem)
        return await self._changes.change(
            withdrawal.id, lambda it: WithdrawalChange(it.note_refusal(number, problem))
        )

    async def _note_problem(self, withdrawal: Withdrawal, number: str, problem: str) -> Withdrawal:
        log.warning("bill_call_failed", bill=number, problem=problem)
        return await self._changes.change(
            withdrawal.id, lambda it: WithdrawalChange(it.note_problem(number, problem))
        )


def _problem_of(error: TransferRefused | RateLimited | ServiceUnavailable) -> str:
    match error:
        case TransferRefused():
            return error.code
        case RateLimited():
            return FREQUENCY_LIMITED
        case _:
            return UNCLEAR
