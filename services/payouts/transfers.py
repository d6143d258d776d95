"""Transfers of withdrawals at WeChat Pay: submit, query, send again, cancel."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from core.errors import RateLimited
from ledger.errors import WithdrawalNotFound
from ledger.journal import JournalEntry
from ledger.open_transfers import (
    CLEAR_REFUSALS,
    FREQUENCY_LIMITED,
    UNCLEAR,
    counts_as_missing,
    must_rebuild,
    must_resend,
    must_return,
)
from ledger.transfers import MismatchReason, Transfer, TransferMismatch, TransferRequest
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from services.gold.ledger import LockUsers
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from storage.gold.ledger import LedgerStore
from storage.jobs.inbox import DONE, CallbackOutcome, ignored, refused
from storage.payouts.withdrawals import PayeeStore, WithdrawalStore
from tencent.errors import CALL_ERRORS, MerchantRefused, NotVerified, Reason, ServiceUnavailable
from tencent.transfers import TransferClient

log = structlog.get_logger("qlive.withdrawals")

CONCURRENCY = 8
"""Withdrawals that a process carries on at once: WeChat Pay takes 100 calls a second."""
IDLE_SECONDS = 2.0
CHECK_SECONDS = 45
"""Time limit of one withdrawal, which is carried on when it is due again."""
CLAIM_LEASE = timedelta(minutes=1)
"""Lease of a withdrawal while a process carries it on; longer than that can take."""


class WithdrawalChanges:
    """The only path by which a stored withdrawal changes: document, entry and balances together.

    One transaction each, retried on write conflicts.
    """

    def __init__(self, ledger: LedgerStore, withdrawals: WithdrawalStore, lock: LockUsers) -> None:
        self._ledger = ledger
        self._withdrawals = withdrawals
        self._lock = lock

    async def change(self, id_: str, rule: Callable[[Withdrawal], WithdrawalChange]) -> Withdrawal:
        """Load, apply `rule`, and save with its entry; return the withdrawal as it is then.

        A rule that changes nothing saves nothing; what it raises propagates. Raises
        WithdrawalNotFound.
        """
        found = await self._withdrawals.get(id_)

        async def work(tx: Any) -> Withdrawal:
            before = await self._withdrawals.get(id_, tx)
            after, entry = rule(before)
            if after == before:
                return before
            if entry:
                await self._record(tx, before.user_id, entry)
            returned = before.counted_fen - after.counted_fen
            if returned:
                await self._withdrawals.subtract_from_day(tx, before.requested_at, returned)
            after = after.note_state_change(before, datetime.now(UTC))
            return await self._withdrawals.save(before, after, tx)

        async with self._lock(found.user_id):
            return await self._ledger.run_transaction(work)

    async def _record(self, tx: Any, user_id: str, entry: JournalEntry) -> None:
        balances = await self._ledger.move(tx, entry.lines)
        answer = balances[user_id]._asdict() if user_id in balances else {}
        await self._ledger.write(tx, replace(entry, answer=answer), None)


class TransferService:
    """Carries transfers on to their final state, never by a second one for the same money.

    Every method may be repeated, and run twice at once: a withdrawal keeps its number and its body,
    so that WeChat Pay knows a repetition, and the journal takes each outcome once.
    """

    def __init__(
        self, changes: WithdrawalChanges, payees: PayeeStore, transfers: TransferClient | None
    ) -> None:
        """Take `transfers`, None if no merchant is configured; open withdrawals then stay open."""
        self._changes = changes
        self._payees = payees
        self._transfers = transfers

    async def run_step(self, withdrawal: Withdrawal) -> Withdrawal:
        """Take the next step: submit an approved transfer, query a submitted one."""
        if self._transfers is None:
            return withdrawal
        if withdrawal.state == WithdrawalState.APPROVED:
            return await self._submit(withdrawal, self._transfers)
        if withdrawal.state.is_at_wechat:
            return await self._check(withdrawal, self._transfers)
        return withdrawal

    async def apply(self, transfer: Transfer) -> Withdrawal:
        """Apply a verified statement of WeChat Pay.

        Raises TransferMismatch or WithdrawalNotFound.
        """
        now = datetime.now(UTC)
        return await self._changes.change(transfer.number, lambda saved: saved.apply(transfer, now))

    async def record(self, transfer: Transfer | None, ignore_reason: str) -> CallbackOutcome:
        """Apply a verified notice; None is ignored, with the reason `ignore_reason`."""
        if transfer is None:
            return ignored(ignore_reason)
        try:
            await self.apply(transfer)
        except WithdrawalNotFound:
            return refused(MismatchReason.BILL.value)
        except TransferMismatch as mismatch:
            return CallbackOutcome("refused", mismatch.reason.value, lasting=True)
        return DONE._replace(lasting=True)

    async def reprocess(self, raw: str) -> CallbackOutcome:
        """Apply a stored notice again that was verified on arrival."""
        if self._transfers is None:
            return refused(Reason.NO_KEY.value)
        try:
            transfer = self._transfers.notifications.read_verified(raw.encode())
        except NotVerified as error:
            return refused(error.reason.value)
        return await self.record(transfer, "unknown_event")

    async def _submit(self, withdrawal: Withdrawal, transfers: TransferClient) -> Withdrawal:
        """Store the body with the state, then send it; a crash in between is like a time-out."""
        body, now = transfers.body(await self._request(withdrawal)), datetime.now(UTC)

        def submit(saved: Withdrawal) -> WithdrawalChange:
            is_approved = saved.state == WithdrawalState.APPROVED
            return WithdrawalChange(saved.submit(body, now) if is_approved else saved)

        withdrawal = await self._changes.change(withdrawal.id, submit)
        if withdrawal.sent_at != now:  # returned, or submitted by another process
            return withdrawal
        return await self._send(withdrawal, transfers)

    async def _request(self, withdrawal: Withdrawal) -> TransferRequest:
        name = await self._payees.real_name(withdrawal.user_id)
        return TransferRequest(
            withdrawal.id, withdrawal.app_id, withdrawal.openid, withdrawal.fen, name
        )

    async def _send(self, withdrawal: Withdrawal, transfers: TransferClient) -> Withdrawal:
        """Send the stored body; cancel the transfer at once if that was decided meanwhile."""
        try:
            stated = await transfers.create(withdrawal.sent_body)
        except CALL_ERRORS as error:
            withdrawal = await self._note_refusal(withdrawal, _problem_of(error))
        else:
            withdrawal = await self._apply_answer(withdrawal, stated)
        if withdrawal.is_cancelling and not withdrawal.refusal:
            return await self._cancel(withdrawal, transfers)
        return withdrawal

    async def _check(self, withdrawal: Withdrawal, transfers: TransferClient) -> Withdrawal:
        """Query a transfer; send it again or ask to cancel it, if that is due."""
        try:
            stated = await transfers.query(withdrawal.id)
        except CALL_ERRORS as error:
            return await self._note_problem(withdrawal, _problem_of(error))
        if stated:
            withdrawal = await self._apply_answer(withdrawal, stated)
        else:
            withdrawal = await self._note_missing(withdrawal)
        if must_resend(withdrawal, stated, datetime.now(UTC)):
            return await self._resend(withdrawal, stated, transfers)
        if stated and withdrawal.is_cancelling:
            return await self._cancel(withdrawal, transfers)
        return withdrawal

    async def _note_missing(self, withdrawal: Withdrawal) -> Withdrawal:
        """Count a query that did not find the transfer; return one that WeChat Pay cannot have."""
        now = datetime.now(UTC)

        def miss(saved: Withdrawal) -> WithdrawalChange:
            if counts_as_missing(saved, now):
                saved = saved.note_missing(now)
            return saved.return_missing(now) if must_return(saved, now) else WithdrawalChange(saved)

        return await self._changes.change(withdrawal.id, miss)

    async def _resend(
        self, withdrawal: Withdrawal, stated: Transfer | None, transfers: TransferClient
    ) -> Withdrawal:
        log.info("transfer_sent_again", withdrawal=withdrawal.id)
        body = withdrawal.sent_body
        if must_rebuild(withdrawal, stated):
            body = transfers.body(await self._request(withdrawal))
        now = datetime.now(UTC)
        withdrawal = await self._changes.change(
            withdrawal.id, lambda saved: WithdrawalChange(saved.resend(body, now))
        )
        return await self._send(withdrawal, transfers)

    async def _cancel(self, withdrawal: Withdrawal, transfers: TransferClient) -> Withdrawal:
        """Ask to cancel a transfer, and query what came of it: the answer has no amount."""
        try:
            await transfers.cancel(withdrawal.id)
            stated = await transfers.query(withdrawal.id)
        except CALL_ERRORS as error:
            return await self._note_problem(withdrawal, _problem_of(error))
        return await self._apply_answer(withdrawal, stated) if stated else withdrawal

    async def _apply_answer(self, withdrawal: Withdrawal, stated: Transfer) -> Withdrawal:
        """Apply the answer to a call; one that does not match is a problem of the withdrawal."""
        try:
            return await self.apply(stated)
        except TransferMismatch as mismatch:
            return await self._note_problem(withdrawal, f"MISMATCH_{mismatch.reason.name}")

    async def _note_refusal(self, withdrawal: Withdrawal, problem: str) -> Withdrawal:
        """Keep the answer to a transfer that was sent, if it is clear or not."""
        if problem not in CLEAR_REFUSALS:
            return await self._note_problem(withdrawal, problem)
        log.warning("transfer_call_failed", withdrawal=withdrawal.id, problem=problem)
        return await self._changes.change(
            withdrawal.id, lambda saved: WithdrawalChange(saved.note_refusal(problem))
        )

    async def _note_problem(self, withdrawal: Withdrawal, problem: str) -> Withdrawal:
        log.warning("transfer_call_failed", withdrawal=withdrawal.id, problem=problem)
        return await self._changes.change(
            withdrawal.id, lambda saved: WithdrawalChange(saved.note_problem(problem))
        )


class OpenTransferSweep(ClaimedJob[Withdrawal]):
    """Carries open withdrawals on.

    Leased by the database's clock, so that one process at a time carries a withdrawal on.
    """

    def __init__(self, withdrawals: WithdrawalStore, transfers: TransferService) -> None:
        super().__init__(
            "open_transfers",
            one_by_one(partial(withdrawals.claim, CLAIM_LEASE)),
            self._run_step,
            concurrency=CONCURRENCY,
            idle=IDLE_SECONDS,
        )
        self._withdrawals = withdrawals
        self._transfers = transfers

    async def _run_step(self, withdrawal: Withdrawal) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                withdrawal = await self._transfers.run_step(withdrawal)
        except TimeoutError:
            log.warning("withdrawal_checked_late", withdrawal=withdrawal.id)
        await self._withdrawals.postpone(withdrawal)


def _problem_of(error: MerchantRefused | RateLimited | ServiceUnavailable) -> str:
    match error:
        case MerchantRefused():
            return error.code
        case RateLimited():
            return FREQUENCY_LIMITED
        case _:
            return UNCLEAR
