"""Applies notices of WeChat Pay about transfers to the withdrawals they belong to."""

from ledger.errors import WithdrawalNotFound
from ledger.transfers import MismatchReason, Transfer, TransferMismatch
from services.bills import BillService
from services.inbox import DONE, CallbackOutcome, ignored, refused
from tencent.errors import NotVerified, Reason
from tencent.transfer_notifications import TransferNotifications


class TransferNoticeService:
    """Each bill becomes final once, whatever is repeated, late, or comes with a query."""

    def __init__(self, bills: BillService, notifications: TransferNotifications | None) -> None:
        self._bills = bills
        self._notifications = notifications

    async def book(self, transfer: Transfer | None, ignore_reason: str) -> CallbackOutcome:
        """Apply a verified notice; None is ignored, with the reason `ignore_reason`."""
        if transfer is None:
            return ignored(ignore_reason)
        try:
            await self._bills.apply(transfer)
        except WithdrawalNotFound:
            return refused(MismatchReason.BILL.value)
        except TransferMismatch as mismatch:
            reason = mismatch.reason
            is_ours = reason != MismatchReason.BILL
            return CallbackOutcome("refused", reason.value, lasting=is_ours)
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
