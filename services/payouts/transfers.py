"""Transfers of withdrawals at WeChat Pay: submit, query, send again, cancel."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from core.errors import RateLimited
from ledger.errors import RefusalReason, ReportRefused, WithdrawalNotFound
from ledger.open_transfers import (
    CLEAR_REFUSALS,
    FREQUENCY_LIMITED,
    UNCLEAR,
    must_rebuild,
    must_resend,
    must_return,
)
from ledger.transfers import (
    Transfer,
    TransferBody,
    TransferRequest,
)
from ledger.withdrawals import Withdrawal, WithdrawalChange, WithdrawalState
from services.gold.ledger import LockUsers
from services.jobs.claimed_jobs import ClaimedJob, one_by_one
from storage.jobs.inbox import DONE, CallbackOutcome, ignored, refused
from storage.stores import Stores
from tencent.errors import CALL_ERRORS, MerchantRefused, NotVerified, Reason, ServiceUnavailable
from tencent.transfers import TransferClient

log = structlog.get_logger("qlive.withdrawals")

CONCURRENCY = 8
"""Withdrawals that a process carries on at once: WeChat Pay takes 100 calls a second."""
IDLE_SECONDS = 2.0
CLAIM_LEASE = timedelta(minutes=1)
"""Lease of a withdrawal while a process carries it on; its calls have timeouts and take less."""


class TransferService:
    """Carries transfers on to their final state, never by a second one for the same money.

    Every method may be repeated, and run twice at once: a withdrawal keeps its number and its body,
    so that WeChat Pay knows a repetition, and the journal takes each outcome once.
    """

    def __init__(self, stores: Stores, lock: LockUsers, transfers: TransferClient | None) -> None:
        """Take `transfers`, None if no merchant is configured; open withdrawals then stay open."""
        self._ledger = stores.ledger
        self._withdrawals = stores.withdrawals
        self._payees = stores.payees
        self._lock = lock
        self._transfers = transfers
        self.job = ClaimedJob(
            "open_transfers",
            one_by_one(partial(stores.withdrawals.claim, CLAIM_LEASE)),
            self._continue,
            concurrency=CONCURRENCY,
            idle=IDLE_SECONDS,
        )
        """Carries open withdrawals on, each in one process at a time."""

    async def change(self, id_: str, rule: Callable[[Withdrawal], WithdrawalChange]) -> Withdrawal:
        """Load, apply `rule`, and save with its entry; return the withdrawal as it is then.

        The only path by which a stored withdrawal changes: document, entry and balances in one
        transaction, retried on write conflicts. A rule that changes nothing saves nothing; what it
        raises propagates. Raises WithdrawalNotFound.
        """
        user_id = (await self._withdrawals.get(id_)).user_id

        async def work(tx: Any) -> Withdrawal:
            before = await self._withdrawals.get(id_, tx)
            after, entry = rule(before)
            if after == before:
                return before
            if entry:
                await self._ledger.post(tx, entry, user_id)
            returned = before.counted_fen - after.counted_fen
            if returned:
                await self._withdrawals.add_to_day(tx, before.requested_at, -returned)
            if after.state != before.state:
                after = replace(after, state_since=datetime.now(UTC))
            return await self._withdrawals.save(before, after, tx)

        async with self._lock(user_id):
            return await self._ledger.run_transaction(work)

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

        Raises ReportRefused or WithdrawalNotFound.
        """
        now = datetime.now(UTC)
        return await self.change(transfer.number, lambda saved: saved.apply(transfer, now))

    async def record(self, transfer: Transfer | None, ignore_reason: str) -> CallbackOutcome:
        """Apply a verified notification; None is ignored, with the reason `ignore_reason`."""
        if transfer is None:
            return ignored(ignore_reason)
        try:
            await self.apply(transfer)
        except WithdrawalNotFound:
            return refused(RefusalReason.BILL.value)
        except ReportRefused as mismatch:
            return CallbackOutcome("refused", mismatch.reason.value, lasting=True)
        return DONE._replace(lasting=True)

    async def reprocess(self, raw: str) -> CallbackOutcome:
        """Apply a stored notification again that was verified on arrival."""
        if self._transfers is None:
            return refused(Reason.NO_KEY.value)
        try:
            transfer = self._transfers.notifications.read_verified(raw.encode())
        except NotVerified as error:
            return refused(error.reason.value)
        return await self.record(transfer, "unknown_event")

    async def _submit(self, withdrawal: Withdrawal, transfers: TransferClient) -> Withdrawal:
        """Store the body with the state, then send it; a crash in between is like a time-out."""
        body, now = await self._body(withdrawal, transfers), datetime.now(UTC)

        def submit(saved: Withdrawal) -> WithdrawalChange:
            is_approved = saved.state == WithdrawalState.APPROVED
            return WithdrawalChange(saved.submit(body, now) if is_approved else saved)

        withdrawal = await self.change(withdrawal.id, submit)
        if withdrawal.sent_at != now:  # returned, or submitted by another process
            return withdrawal
        return await self._send(withdrawal, transfers)

    async def _body(self, withdrawal: Withdrawal, transfers: TransferClient) -> TransferBody:
        name = await self._payees.real_name(withdrawal.user_id)
        return transfers.body(
            TransferRequest(
                withdrawal.id, withdrawal.app_id, withdrawal.openid, withdrawal.fen, name
            )
        )

    async def _send(self, withdrawal: Withdrawal, transfers: TransferClient) -> Withdrawal:
        """Send the stored body; cancel the transfer at once if that was decided meanwhile."""
        try:
            stated = await transfers.create(withdrawal.sent_body)
        except CALL_ERRORS as error:
            withdrawal = await self._note_problem(withdrawal, _problem_of(error), was_sent=True)
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
        now = datetime.now(UTC)

        def miss(saved: Withdrawal) -> WithdrawalChange:
            saved = saved.note_missing(now)
            return saved.return_missing(now) if must_return(saved, now) else WithdrawalChange(saved)

        if stated:
            withdrawal = await self._apply_answer(withdrawal, stated)
        else:
            withdrawal = await self.change(withdrawal.id, miss)
        if must_resend(withdrawal, stated, datetime.now(UTC)):
            log.info("transfer_sent_again", withdrawal=withdrawal.id)
            body, now = withdrawal.sent_body, datetime.now(UTC)
            if must_rebuild(withdrawal, stated):
                body = await self._body(withdrawal, transfers)
            withdrawal = await self.change(
                withdrawal.id, lambda saved: WithdrawalChange(saved.resend(body, now))
            )
            return await self._send(withdrawal, transfers)
        if stated and withdrawal.is_cancelling:
            return await self._cancel(withdrawal, transfers)
        return withdrawal

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
        except ReportRefused as mismatch:
            return await self._note_problem(withdrawal, f"MISMATCH_{mismatch.reason.name}")

    async def _note_problem(
        self, withdrawal: Withdrawal, problem: str, *, was_sent: bool = False
    ) -> Withdrawal:
        """Keep the code of a call that failed; `was_sent`: it has sent the body."""
        log.warning("transfer_call_failed", withdrawal=withdrawal.id, problem=problem)
        is_refusal = was_sent and problem in CLEAR_REFUSALS
        note = Withdrawal.note_refusal if is_refusal else Withdrawal.note_problem
        return await self.change(
            withdrawal.id, lambda saved: WithdrawalChange(note(saved, problem))
        )

    async def _continue(self, withdrawal: Withdrawal) -> None:
        await self._withdrawals.postpone(await self.run_step(withdrawal))


def _problem_of(error: MerchantRefused | RateLimited | ServiceUnavailable) -> str:
    if isinstance(error, MerchantRefused):
        return error.code
    return FREQUENCY_LIMITED if isinstance(error, RateLimited) else UNCLEAR
