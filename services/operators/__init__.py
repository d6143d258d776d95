"""Operators: their accounts, and what waits for a second one of them."""

from services.gold import GoldServices
from services.operators.approvals import ApprovalService
from services.operators.operators import OperatorService
from services.parts import Parts


class OperatorServices:
    def __init__(self, parts: Parts, gold: GoldServices) -> None:
        stores, limit = parts.stores, parts.settings.ops.second_person_gold
        self.operators = OperatorService(stores.operators, stores.operator_sessions)
        self.approvals = ApprovalService(stores, gold.ledger, gold.catalogue, limit)
