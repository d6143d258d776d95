"""Carries open withdrawals on: a sweep of those that are due, and WeChat Pay's notices."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from ledger.errors import WithdrawalNotFound
from ledger.transfers import MismatchReason, Transfer, TransferMismatch
from ledger.withdrawals import Withdrawal
from services.claimed_jobs import ClaimedJob
from services.inbox import DONE, CallbackOutcome, ignored, refused
from services.transfers import TransferService
from storage.withdrawals import WithdrawalStore
from tencent.errors import NotVerified, Reason
from tencent.notifications import MerchantNotifications

log = structlog.get_logger("qlive.withdrawals")

CONCURRENCY = 8
"""Withdrawals that a process carries on at once: WeChat Pay takes 100 calls a second."""
IDLE_SECONDS = 2.0
CHECK_SECONDS = 45
"""Time limit of one withdrawal, which is carried on when it is due again."""
CLAIM_LEASE = timedelta(minutes=1)
"""Lease of a withdrawal while a process carries it on; longer than that can take."""


class OpenTransferSweep(ClaimedJob[Withdrawal]):
    """Leased by the database's clock, so that one process at a time carries a withdrawal on."""

    def __init__(self, withdrawals: WithdrawalStore, transfers: TransferService) -> None:
        super().__init__(
            "open_transfers",
            self._claim_next,
            self._carry_on,
            concurrency=CONCURRENCY,
            idle=IDLE_SECONDS,
        )
        self._withdrawals = withdrawals
        self._transfers = transfers

    async def _claim_next(self, _limit: int) -> list[Withdrawal]:
        """The withdrawal that has waited longest; its lease begins with its check."""
        withdrawal = await self._withdrawals.claim(CLAIM_LEASE)
        return [withdrawal] if withdrawal else []

    async def _carry_on(self, withdrawal: Withdrawal) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                withdrawal = await self._transfers.advance(withdrawal)
        except TimeoutError:
            log.warning("withdrawal_checked_late", withdrawal=withdrawal.id)
        await self._withdrawals.postpone(withdrawal, datetime.now(UTC))


class TransferNoticeService:
    """Each transfer becomes final once, whatever is repeated, late, or comes with a query."""

    def __init__(
        self, transfers: TransferService, notifications: MerchantNotifications[Transfer] | None
    ) -> None:
        self._transfers = transfers
        self._notifications = notifications

    async def book(self, transfer: Transfer | None, ignore_reason: str) -> CallbackOutcome:
        """Apply a verified notice; None is ignored, with the reason `ignore_reason`."""
        if transfer is None:
            return ignored(ignore_reason)
        try:
            await self._transfers.apply(transfer)
        except WithdrawalNotFound:
            return refused(MismatchReason.BILL.value)
        except TransferMismatch as mismatch:
            return CallbackOutcome("refused", mismatch.reason.value, lasting=True)
        return DONE._replace(lasting=True)

    async def reprocess(self, raw: str) -> CallbackOutcome:
        """Apply a stored notice again that was verified on arrival."""
        if self._notifications is None:
            return refused(Reason.NO_KEY.value)
        try:
            transfer = self._notifications.read_verified(raw.encode())
        except NotVerified as error:
            return refused(error.reason.value)
        return await self.book(transfer, "unknown_event")
