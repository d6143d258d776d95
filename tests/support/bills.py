"""Bills between the simulator and what is recorded in a database, at noon of one day."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from config.sections import PaySettings, WechatSettings
from config.settings import Settings
from core.clock import CHINA_TZ
from core.limits import NamedLocks
from devtools.simulator.refunds import SimulatedRefund
from devtools.simulator.requests import NextBillsRequest
from devtools.simulator.simulator import Simulator
from devtools.simulator.transfers import SimulatedBill
from ledger.bills import Source
from ledger.recharge import Order, Payment, Refund
from services.payments.bills import MERCHANT, TRANSFERS, VIRTUAL, BillService
from services.payments.payments import PaymentService
from storage.database import Document
from tencent.bills import BillClient
from tencent.merchant import MerchantClient
from tencent.pay import JsapiClient
from tencent.wechat import AccessTokenCache, WechatApi
from tencent.xpay import XpayClient
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock, pay_settings

DAY, MONTH = "2026-11-27", "2026-11"
NOON = datetime(2026, 11, 27, 12, tzinfo=CHINA_TZ)
NEXT_NOON = NOON + timedelta(days=1)
APP = "wxd678efh567hg6787"


class BillFixture:
    """The service with clients of the simulator, on a database with one user."""

    def __init__(
        self,
        stores: StoresFixture,
        merchant: dict[str, Any],
        serve: Callable[..., str],
        make_client: Callable[..., Any],
    ) -> None:
        pay = PaySettings(
            **pay_settings(merchant), offer_id="1450000001", app_key="k", push_aes_key="A" * 43
        )
        apps = {APP: {"secret": "s3cret"}}
        settings = Settings.model_validate({"pay": pay, "wechat": {"apps": apps}})
        self.clock, self.stores = Clock(NOON.timestamp()), stores
        key = merchant["platform"]["private_key_pem"]
        self.simulator = Simulator(settings, key, "http://127.0.0.1:9", self.clock)
        url = serve(self.simulator.answer)
        tokens = AccessTokenCache(make_client("xpay", url), {APP: "s3cret"})
        api = WechatApi(make_client("xpay", url), tokens)
        self.xpay = XpayClient(api, pay, lambda *_: None)
        client = MerchantClient(make_client("pay", url), pay, now=self.clock)
        self.jsapi = JsapiClient(client, "https://pay.example.com/notify")
        self.client = BillClient(
            client, self.xpay, make_client("files", ""), WechatSettings(apps=apps, api_base=url)
        )
        self.payments = PaymentService(
            stores.ledger,
            stores.orders,
            stores.user_channels,
            stores.webhooks,
            NamedLocks().lock,
        )
        self.service = self.new_service()
        self.user_id = ""

    def new_service(self) -> BillService:
        return BillService(
            self.stores,
            self.client,
            self.payments,
            {"jsapi": self.jsapi, "xpay": self.xpay},
            (MERCHANT, TRANSFERS, *VIRTUAL),
        )

    def fault(self, source: Source, fault: str = "", **changes: Any) -> None:
        self.simulator.bills.set_next(
            NextBillsRequest.model_validate({"source": source, "fault": fault, "changes": changes})
        )

    # ---- what is in both, or in one of them

    async def order(self, number: str, fen: int = 600, provider: str = "jsapi") -> Order:
        """An order that WeChat does not know."""
        if not self.user_id:
            [self.user_id] = await self.stores.create_users((0, 0))
        order = Order(number, self.user_id, provider, APP, "o1", "gold_60", fen, 60)
        await self.stores.orders.open(order, 1, 0)
        unset: Any = {"open_keys": ""}  # more orders than a user may have open
        await self._rows("orders").update_one({"_id": number}, {"$unset": unset})
        return order

    def pay(self, order: Order) -> Payment:
        """WeChat takes the money without a notification."""
        simulator, number = self.simulator, order.number
        if order.provider == "xpay":
            purchase = {"outTradeNo": number, "goodsPrice": order.fen, "buyQuantity": 1}
            simulator.xpay.take(purchase, order.openid)
            return Payment("xpay", number, "", order.fen)
        amount, payer = {"total": order.fen}, {"openid": order.openid}
        simulator.pay.orders[number] = {"appid": APP, "amount": amount, "payer": payer}
        paid = simulator.pay.take(number)
        assert paid
        return Payment("jsapi", number, paid["transaction_id"], order.fen)

    async def record(self, payment: Payment, at: datetime = NOON) -> None:
        await self.payments.credit(payment)
        paid_at = {"$set": {"paid_at": at}}
        await self._rows("orders").update_one({"_id": payment.order}, paid_at)

    async def paid(self, number: str, fen: int = 600, provider: str = "jsapi") -> Order:
        """An order that is paid at both ends."""
        order = await self.order(number, fen, provider)
        await self.record(self.pay(order))
        return order

    def refund(self, order: Order, number: str, fen: int = 100) -> SimulatedRefund:
        """WeChat refunds an order without a notification."""
        refund = SimulatedRefund(
            number, order.provider, order.number, fen, {}, lambda *_: None, self.clock(), "done"
        )
        self.simulator.refunds.refunds[number] = refund
        return refund

    async def book_refund(self, order: Order, number: str, fen: int = 100) -> None:
        await self.payments.refund(Refund(order.provider, order.number, number, fen))

    async def close_case(self, order: Order, number: str, fen: int = 100) -> None:
        """A refund case has asked for a refund, and is closed."""
        await self.book_refund(order, number, fen)
        step = {"number": order.number, "provider": order.provider, "refund": number, "fen": fen}
        step |= {"state": "refunded", "by_apple": False}
        case = {"_id": f"C{number}", "request_id": number, "user_id": self.user_id}
        await self._rows("refund_cases").insert_one(
            {**case, "state": "closed", "closed_at": NOON, "orders": [step]}
        )

    def transfer(self, number: str, fen: int = 1000) -> SimulatedBill:
        """WeChat has paid a transfer."""
        now, wechat_number = self.clock(), f"of {number}"
        bill = SimulatedBill(
            number, "o1", fen, {}, now, now, "SUCCESS", wechat_number=wechat_number
        )
        self.simulator.transfers.bills[number] = bill
        return bill

    async def withdrawal(self, number: str, fen: int = 1000, state: str = "paid") -> None:
        row = {"_id": number, "user_id": "10000001", "request_id": number, "fen": fen}
        final = {"finished_at": NOON, "wechat_number": f"of {number}"}
        await self._rows("withdrawals").insert_one({**row, **final, "state": state})

    # ---- results

    async def differences(self, state: str = "open") -> list[tuple[str, str, str]]:
        """Kind, category and number of each."""
        rows = await self._rows("bill_differences").find({"state": state}).to_list()
        return sorted((row["kind"], row["category"], row["number"]) for row in rows)

    async def bill(self, id_: str) -> Document:
        return await self._rows("bills").find_one({"_id": id_})

    def _rows(self, name: str) -> Any:
        return self.stores.database.collection(name)
