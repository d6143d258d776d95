"""Applies notices of WeChat Pay about transfers to the withdrawals they belong to."""

from ledger.errors import WithdrawalNotFound
from ledger.transfers import Transfer
from ledger.withdrawals import MismatchReason, TransferMismatch
from services.bills import BillService
from services.inbox import DONE, CallbackOutcome, ignored, refused


class TransferNoticeService:
    """Each bill becomes final once, whatever is repeated, late, or comes with a query."""

    def __init__(self, bills: BillService) -> None:
        self._bills = bills

    async def book(self, transfer: Transfer | None, ignore_reason: str) -> CallbackOutcome:
        """Apply a verified notice; None is ignored, with the reason `ignore_reason`."""
        if transfer is None:
            return ignored(ignore_reason)
        try:
            await self._bills.learn(transfer)
        except WithdrawalNotFound:
            return refused(MismatchReason.BILL.value)
        except TransferMismatch as mismatch:
            reason = mismatch.reason
            is_ours = reason != MismatchReason.BILL
            return CallbackOutcome("refused", reason.value, lasting=is_ours)
        return DONE._replace(lasting=True)
