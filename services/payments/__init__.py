"""Payments: recharge, notifications of WeChat, unpaid orders, and bills."""

from services.parts import Parts
from services.payments.bills import BillService, bill_types
from services.payments.orders import RechargeService, UnpaidOrderSweep
from services.payments.payment_notifications import Followers, PaymentNotificationService
from services.payments.payments import PaymentService


class PaymentServices:
    def __init__(self, parts: Parts, followers: Followers) -> None:
        settings, stores, tencent = parts.settings, parts.stores, parts.tencent
        lock, providers = parts.locks.lock, tencent.providers
        self.payments = PaymentService(
            stores.ledger, stores.orders, stores.user_channels, stores.webhooks, lock
        )
        self.recharge = RechargeService(stores, providers, lock, settings.pay)
        self.notifications = PaymentNotificationService(
            stores, self.payments, followers, tencent.jsapi, tencent.xpay
        )
        self.unpaid_orders = UnpaidOrderSweep(
            stores.orders, self.payments, providers, parts.metrics.refused.callbacks
        )
        types = bill_types(settings, uses_jsapi=tencent.jsapi is not None)
        self.bills = BillService(stores, tencent.bills, self.payments, providers, types)
