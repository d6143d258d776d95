"""Refunds: cases in which operators give money back."""

from services.gold.ledger import LockUsers
from services.operators import OperatorServices
from services.payouts import PayoutServices
from services.refunds.refund_cases import RefundCaseService
from storage.stores import Stores
from tencent.clients import TencentClients


class RefundServices:
    def __init__(
        self,
        stores: Stores,
        tencent: TencentClients,
        lock: LockUsers,
        operators: OperatorServices,
        payouts: PayoutServices,
    ) -> None:
        self.cases = RefundCaseService(
            stores, operators.approvals, payouts.withdrawals, tencent.providers, lock
        )
