"""Payouts: income that users withdraw to their WeChat balance."""

from config.settings import Settings
from services.gold.ledger import LockUsers
from services.operators import OperatorServices
from services.payouts.transfers import OpenTransferSweep, TransferService, WithdrawalChanges
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
        changes = WithdrawalChanges(stores.ledger, stores.withdrawals, lock)
        self.transfers = TransferService(changes, stores.payees, tencent.transfers)
        self.sweep = OpenTransferSweep(stores.withdrawals, self.transfers)
        self.withdrawals = WithdrawalService(
            stores.withdrawals,
            stores.payees,
            stores.ledger,
            changes,
            self.transfers,
            stores.configs,
            lock,
            settings.withdraw,
            operators.approvals.is_permitted,
            is_enabled=settings.withdrawals_are_on,
        )
