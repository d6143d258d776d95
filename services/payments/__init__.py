"""Payments: recharge, notifications of WeChat, unpaid orders, and bills."""

from config.settings import Settings
from services.gold.ledger import LockUsers
from services.payments.bills import BillService, bill_types
from services.payments.orders import RechargeService, UnpaidOrderSweep
from services.payments.payment_notifications import Followers, PaymentNotificationService
from services.payments.payments import PaymentService
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients


class PaymentServices:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        tencent: TencentClients,
        metrics: Metrics,
        lock: LockUsers,
        followers: Followers,
    ) -> None:
        providers = tencent.providers
        self.payments = PaymentService(
            stores.ledger, stores.orders, stores.user_channels, stores.webhooks, lock
        )
        self.recharge = RechargeService(stores, providers, lock, settings.pay)
        self.notifications = PaymentNotificationService(
            stores, self.payments, followers, tencent.jsapi, tencent.xpay
        )
        self.unpaid_orders = UnpaidOrderSweep(
            stores.orders, self.payments, providers, metrics.callbacks_refused
        )
        types = bill_types(settings, uses_jsapi=tencent.jsapi is not None)
        self.bills = BillService(stores, tencent.bills, self.payments, providers, types)
