"""Payouts: income that users withdraw to their WeChat balance."""

from services.operators import OperatorServices
from services.parts import Parts
from services.payouts.transfers import TransferService
from services.payouts.withdrawals import WithdrawalService


class PayoutServices:
    def __init__(self, parts: Parts, operators: OperatorServices) -> None:
        stores, settings, lock = parts.stores, parts.settings, parts.locks.lock
        self.transfers = TransferService(stores, lock, parts.tencent.transfers)
        self.withdrawals = WithdrawalService(
            stores,
            self.transfers,
            lock,
            settings.withdraw,
            operators.approvals.is_permitted,
            is_enabled=settings.withdrawals_are_on,
        )
