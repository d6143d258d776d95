"""Payouts: income that users withdraw to their WeChat balance."""

from config.settings import Settings
from services.gold.ledger import LockUsers
from services.operators import OperatorServices
from services.payouts.transfers import TransferService
from services.payouts.withdrawals import WithdrawalService
from storage.stores import Stores
from tencent.clients import TencentClients


class PayoutServices:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        tencent: TencentClients,
        lock: LockUsers,
        operators: OperatorServices,
    ) -> None:
        self.transfers = TransferService(stores, lock, tencent.transfers)
        self.withdrawals = WithdrawalService(
            stores,
            self.transfers,
            lock,
            settings.withdraw,
            operators.approvals.is_permitted,
            is_enabled=settings.withdrawals_are_on,
        )
