"""A gift, an order with its payment, and a payment service on an in-memory ledger."""

from decimal import Decimal

from ledger.gifts import GiftTransfer
from ledger.recharge import Order, Payment
from services.payments.payments import PaymentService
from tests.support.ledger_in_memory import MemoryLedgerStore, MemoryLocks, MemoryOrderStore

TRANSFER = GiftTransfer(
    "anna", "bert", gift_id=3, gold=10, num=2, rate=Decimal("0.5"), request_id="r1"
)
"""Costs 20 and earns 10."""

ORDER = Order("Q1", "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
PAYMENT = Payment("xpay", "Q1", "42", 600, openid="o1", app_id="wx1", product="gold_60")


class PaymentFixture:
    """ORDER of anna, whose balance is 1 gold and 2 income."""

    def __init__(self) -> None:
        self.ledger, self.locks = MemoryLedgerStore(anna=(1, 2)), MemoryLocks()
        self.orders = MemoryOrderStore(self.ledger, ORDER)
        self.service = PaymentService(self.ledger, self.orders, self.locks)
