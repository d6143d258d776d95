"""Operators: their accounts, and what waits for a second one of them."""

from config.settings import Settings
from services.gold import GoldServices
from services.operators.approvals import ApprovalService
from services.operators.operators import OperatorService
from storage.stores import Stores


class OperatorServices:
    def __init__(self, settings: Settings, stores: Stores, gold: GoldServices) -> None:
        self.operators = OperatorService(stores.operators, stores.operator_sessions)
        self.approvals = ApprovalService(
            stores, gold.ledger, gold.catalogue, settings.ops.second_person_gold
        )
