"""Client of WeChat Pay for mini-programs (JSAPI, API v3): orders and their refunds."""

import secrets
from collections.abc import Mapping
from datetime import datetime

import structlog

from core.clock import CHINA_TZ
from core.errors import RateLimited
from ledger.recharge import Order, Payment, RefundState
from tencent.errors import MerchantRefused, NotVerified, Reason, ServiceUnavailable
from tencent.json_reader import json_text, text
from tencent.merchant import MerchantClient, code_of
from tencent.notifications import EVER_PAID, PAYMENTS, MerchantNotifications, payment_of
from tencent.service_client import ServiceResponse

log = structlog.get_logger("tencent.pay")

JSAPI_PATH = "/v3/pay/transactions/jsapi"
ORDERS_PATH = "/v3/pay/transactions/out-trade-no"
REFUNDS_PATH = "/v3/refund/domestic/refunds"
REFUND_STATES: Mapping[str, RefundState] = {
    "SUCCESS": "done",
    "PROCESSING": "pending",
    "CLOSED": "failed",
    "ABNORMAL": "failed",
}
REASON_LENGTH = 80
NOTHING_TO_CLOSE_CODES = frozenset(
    {"ORDERPAID", "ORDER_CLOSED", "ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS"}
)
"""Error codes of a close request with nothing to close; a query shows the order's state."""


class JsapiClient:
    """Payment client of one merchant; `notifications` parses those that WeChat Pay sends."""

    def __init__(self, merchant: MerchantClient, notify_url: str) -> None:
        self._merchant = merchant
        self.notifications = MerchantNotifications(
            merchant.mchid, merchant.keys, merchant.apiv3_key, PAYMENTS
        )
        self._notify_url = notify_url

    async def register(self, order: Order, expires_at: datetime) -> str:
        """Register an order, which can be paid until `expires_at`; return its prepay_id.

        Idempotent: WeChat Pay answers a repeated order with a prepay_id again, but only if all of
        it is equal. Raises RateLimited, or ServiceUnavailable for any response without a verified
        prepay_id.
        """
        transaction = {
            "appid": order.app_id,
            "mchid": self._merchant.mchid,
            "description": f"{order.gold} gold",
            "out_trade_no": order.number,
            "time_expire": expires_at.astimezone(CHINA_TZ).isoformat(timespec="seconds"),
            "notify_url": self._notify_url,
            "amount": {"total": order.fen, "currency": "CNY"},
            "payer": {"openid": order.openid},
        }
        response = await self._merchant.request("POST", JSAPI_PATH, body=json_text(transaction))
        if response.status == 429:
            raise RateLimited()
        with self._merchant.reading("prepay", order.number):
            return text(self._merchant.check(response), "prepay_id")

    def payment_call(self, order: Order, prepay_id: str, _session_key: str = "") -> dict[str, str]:
        """Return the parameters of wx.requestPayment, signed now.

        The client's later "success" is only a hint: the notification or the query credits the gold.
        """
        timestamp, nonce = str(int(self._merchant.now())), secrets.token_hex(16)
        package = f"prepay_id={prepay_id}"
        return {
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self._merchant.sign(order.app_id, timestamp, nonce, package),
        }

    async def query(self, order: Order) -> Payment | None:
        """Return the payment of an order, or None if it is unpaid.

        Source: WeChat Pay v3, "query by out_trade_no"; 404 means that WeChat Pay never received the
        order. Raises ServiceUnavailable if the answer is unverified.
        """
        path, query = f"{ORDERS_PATH}/{order.number}", {"mchid": self._merchant.mchid}
        response = await self._merchant.request("GET", path, query)
        if response.status == 404 and code_of(response) == "ORDER_NOT_EXIST":
            return None
        with self._merchant.reading("order_query", order.number):
            answer = self._merchant.check(response)
            wanted = (self._merchant.mchid, order.number)
            if (answer.get("mchid"), answer.get("out_trade_no")) != wanted:
                raise NotVerified(Reason.UNREADABLE, "response is about another order")
            return payment_of(answer, EVER_PAID)

    async def close(self, order: Order) -> None:
        """Close an order so that it can no longer be paid; idempotent.

        Query it once more afterwards: it may have been paid a moment before. Raises
        ServiceUnavailable.
        """
        path = f"{ORDERS_PATH}/{order.number}/close"
        body = json_text({"mchid": self._merchant.mchid})
        response = await self._merchant.request("POST", path, body=body)
        if response.status == 204:
            return
        code = code_of(response)
        if code not in NOTHING_TO_CLOSE_CODES:
            why = f"HTTP {response.status} {code}"
            log.error("order_close_failed", number=order.number, why=why)
            raise ServiceUnavailable(self._merchant.service)

    async def deliver(self, order: Order) -> None:
        """Do nothing: WeChat Pay takes no delivery confirmations."""

    async def refund(self, order: Order, number: str, fen: int, reason: str) -> RefundState:
        """Refund `fen` of a paid order under our `number`; idempotent by it.

        Source: WeChat Pay v3, "request a refund". Raises MerchantRefused, RateLimited, or
        ServiceUnavailable for anything unclear: then ask again with the same number.
        """
        content = {
            "out_trade_no": order.number,
            "out_refund_no": number,
            **({"reason": reason[:REASON_LENGTH]} if reason else {}),
            "notify_url": self._notify_url,
            "amount": {"refund": fen, "total": order.fen, "currency": "CNY"},
        }
        response = await self._merchant.request("POST", REFUNDS_PATH, body=json_text(content))
        return self._refund_state(response, number)

    async def refund_state(self, order: Order, number: str) -> RefundState | None:  # noqa: ARG002
        """Return the state of our refund `number`, or None if it is unknown to WeChat.

        Raises as `refund`.
        """
        response = await self._merchant.request("GET", f"{REFUNDS_PATH}/{number}")
        try:
            return self._refund_state(response, number)
        except MerchantRefused:
            if response.status == 404:
                return None
            raise

    def _refund_state(self, response: ServiceResponse, number: str) -> RefundState:
        with self._merchant.reading("refund", number):
            if code := self._merchant.refusal(response):
                raise MerchantRefused(code)
            answer = self._merchant.check(response)
            state = REFUND_STATES.get(str(answer.get("status")))
            if state is None or answer.get("out_refund_no") != number:
                raise NotVerified(Reason.UNREADABLE, "response is about another refund")
            return state
