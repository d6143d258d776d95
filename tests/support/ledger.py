"""A gift, and an order with its payment."""

from decimal import Decimal

from ledger.gifts import GiftTransfer
from ledger.recharge import Order, Payment

TRANSFER = GiftTransfer(
    "anna", "bert", gift_id=3, gold=10, num=2, rate=Decimal("0.5"), request_id="r1"
)
"""Costs 20 and earns 10."""

ORDER = Order("Q1", "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
PAYMENT = Payment("xpay", "Q1", "42", 600, openid="o1", app_id="wx1", product="gold_60")
