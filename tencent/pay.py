"""Client of WeChat Pay for mini-programs (JSAPI, API v3): orders and their refunds."""

import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from core.clock import CHINA_TZ
from core.errors import RateLimited
from ledger.recharge import Order, Payment, Refund, RefundState
from tencent.errors import MerchantNotFound, NotVerified, Reason, ServiceUnavailable
from tencent.json_reader import INT64, child, json_text, number, text
from tencent.merchant import MerchantClient, MerchantNotifications, code_of

log = structlog.get_logger("tencent.pay")

JSAPI = "jsapi"
"""Source of notifications, and provider of the payments in them."""
PAID = "SUCCESS"
EVER_PAID = (PAID, "REFUND")
"""The state is REFUND from the first fen returned; the amount is in the refund's notification."""
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
        self.notifications = MerchantNotifications(merchant, PAYMENTS)
        self._notify_url = notify_url

    async def register(self, order: Order, expires_at: datetime) -> str:
        """Register an order, which can be paid until `expires_at`; return its prepay_id.

        Idempotent if all of the order is equal. Raises RateLimited, or ServiceUnavailable for any
        response without a verified prepay_id.
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
        """Close an order, and query it afterwards: it may have been paid a moment before."""
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
        read = partial(_refund_state, number)
        return await self._merchant.call(
            "refund", number, read, "POST", REFUNDS_PATH, body=json_text(content)
        )

    async def refund_state(self, order: Order, number: str) -> RefundState | None:  # noqa: ARG002
        """Return the state of our refund, or None if WeChat has none. Raises as `refund`."""
        read, path = partial(_refund_state, number), f"{REFUNDS_PATH}/{number}"
        try:
            return await self._merchant.call("refund", number, read, "GET", path)
        except MerchantNotFound:
            return None


def payment_of(content: Mapping[str, Any], states: Collection[str] = (PAID,)) -> Payment | None:
    """Return the payment of a transaction, None in other states. Raises Unreadable."""
    if content.get("trade_state") not in states:
        return None
    amount, payer = child(content, "amount"), child(content, "payer")
    return Payment(
        JSAPI,
        text(content, "out_trade_no"),
        text(content, "transaction_id"),
        number(amount, "total", INT64),  # payer_total is less when a coupon paid the rest
        openid=text(payer, "openid"),
        app_id=text(content, "appid"),
        currency=text(amount, "currency"),
    )


def _paid(content: Mapping[str, Any]) -> Payment:
    if payment := payment_of(content):
        return payment
    raise NotVerified(Reason.NOT_PAID)


def _refunded(content: Mapping[str, Any]) -> Refund:
    """Return a refund that has arrived. Raises NotVerified if it has not."""
    if content.get("refund_status") != PAID:
        raise NotVerified(Reason.NOT_PAID)
    amount = child(content, "amount")
    order, refund = text(content, "out_trade_no"), text(content, "refund_id")
    own = str(content.get("out_refund_no") or "")
    return Refund(JSAPI, order, refund, number(amount, "refund", INT64), own=own)


def _refund_state(refund: str, content: Mapping[str, Any]) -> RefundState:
    state = REFUND_STATES.get(str(content.get("status")))
    if state is None or content.get("out_refund_no") != refund:
        raise NotVerified(Reason.UNREADABLE, "response is about another refund")
    return state


PAYMENTS: Mapping[str, Callable[[Mapping[str, Any]], Payment | Refund]] = {
    "TRANSACTION.SUCCESS": _paid,
    "REFUND.SUCCESS": _refunded,
}
