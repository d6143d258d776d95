"""Client of WeChat virtual payment (xpay, goods mode), with one product per gold amount."""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import structlog

from config.sections import PaySettings
from ledger.recharge import Order, Payment, Refund, RefundState
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.json_reader import child, json_text, number, text
from tencent.wechat import INVALID_TOKEN_CODES, WechatApi, WechatCall

log = structlog.get_logger("tencent.xpay")

PROVIDER = "xpay"
MODE = "short_series_goods"
CLIENT_CALL = "requestVirtualPayment"
# Awaiting delivery, delivering and delivered; 5 and 8 were refunded after payment, which the refund
# event reports.
PAID_STATUSES = frozenset({2, 3, 4, 5, 8})
DUPLICATE_CODE = 268490004  # the operation was done before
UNCLEAR_CODES = INVALID_TOKEN_CODES | {-1, 268490003, 268490011, 268490012, 268490015}
"""WeChat is busy, or our keys are wrong: the same request may succeed later."""
REFUND_STATES: Mapping[int, RefundState] = {5: "done", 7: "failed", 8: "done"}
OTHER_REASON, BY_SUPPORT = "5", "1"
"""refund_reason and req_from of refund_order."""
ERRCODE_LENGTH = 32
QUERY, DELIVERY = "query_order", "notify_provide_goods"
DELIVERED, REFUNDED = "xpay_goods_deliver_notify", "xpay_refund_notify"

OnRejection = Callable[[str, str], None]
"""Called with the name of a rejected call and its errcode, "unreadable" without one."""


class XpayClient:
    """Payment client of one offer, in production or in the sandbox."""

    def __init__(self, api: WechatApi, pay: PaySettings, on_rejection: OnRejection) -> None:
        self._api = api
        self._offer_id = pay.offer_id
        self._app_key = pay.app_key
        self._env = int(pay.sandbox)
        self._on_rejection = on_rejection

    async def register(self, order: Order, expires_at: datetime) -> str:  # noqa: ARG002
        """Do nothing: WeChat learns of an order when the client submits it."""
        return ""

    def payment_call(self, order: Order, _prepay_id: str, session_key: str) -> dict[str, str]:
        """Return the parameters of wx.requestVirtualPayment: signData in goods mode."""
        sign_data = json_text(
            {
                "offerId": self._offer_id,
                "buyQuantity": 1,
                "env": self._env,
                "currencyType": "CNY",
                "productId": order.product,
                "goodsPrice": order.fen,
                "outTradeNo": order.number,
                "attach": "",
            }
        )
        return {
            "signData": sign_data,
            "mode": MODE,
            "paySig": pay_sig(self._app_key, CLIENT_CALL, sign_data),
            "signature": user_signature(session_key, sign_data),
        }

    async def query(self, order: Order) -> Payment | None:
        """Return the payment of an order, or None if it is unpaid.

        WeChat knows an order only once the client has submitted it, and has no distinct errcode for
        an unknown one: every errcode raises ServiceUnavailable.
        """
        try:
            info = await self._find(order, order.number)
        except MerchantRefused as refused:
            raise self._unavailable(QUERY, refused.code) from None
        if type(info.get("order_fee")) is not int:
            raise self._unavailable(QUERY)
        if info.get("status") not in PAID_STATUSES:
            return None
        return Payment(
            PROVIDER,
            order.number,
            str(info.get("wxpay_order_id") or ""),
            info["order_fee"],
            sandbox=info.get("env_type") == 2,
            paid_fen=_whole(info.get("paid_fee")),
        )

    async def close(self, order: Order) -> None:
        """Do nothing: xpay cannot close orders; prepared parameters work until they expire."""

    async def deliver(self, order: Order) -> None:
        """Confirm delivery of an order whose push did not arrive. Raises ServiceUnavailable."""
        request = {"order_id": order.number, "env": self._env}
        try:
            await self._ask(order, DELIVERY, request)
        except MerchantRefused as refused:
            raise self._unavailable(DELIVERY, refused.code) from None

    async def refund(self, order: Order, number: str, fen: int, reason: str) -> RefundState:
        """Refund `fen` of a paid order, at most its rest, under our `number`; idempotent by it.

        WeChat only starts the refund: a notification or `refund_state` shows its end. Raises
        MerchantRefused, or ServiceUnavailable for anything unclear: then ask again with this
        number.
        """
        if state := await self.refund_state(order, number):
            return state
        left_fee = (await self._find(order, order.number)).get("left_fee")
        if type(left_fee) is not int:
            raise self._unavailable(QUERY)
        request = {
            "openid": order.openid,
            "order_id": order.number,
            "refund_order_id": number,
            "left_fee": left_fee,
            "refund_fee": min(fen, left_fee),
            "biz_meta": reason,
            "refund_reason": OTHER_REASON,
            "req_from": BY_SUPPORT,
            "env": self._env,
        }
        await self._ask(order, "refund_order", request)
        return "pending"

    async def refund_state(self, order: Order, number: str) -> RefundState | None:
        """Return the state of our refund `number`, or None if WeChat shows none.

        A refund is an order of its own (order_type 1), queried by its number. WeChat has no
        distinct errcode for an unknown one: every clear code means that. Raises ServiceUnavailable
        for an unclear answer.
        """
        try:
            info = await self._find(order, number)
        except MerchantRefused:
            return None
        return REFUND_STATES.get(info.get("status", -1), "pending")

    async def call(self, app_id: str, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a signed call, with `errcode` if WeChat rejects it."""
        path, body = f"/xpay/{name}", json_text(content)
        signature = {"pay_sig": pay_sig(self._app_key, path, body)}
        call = WechatCall(app_id, path, body, signature)
        response = await self._api.send(call)
        return response.content or {"errcode": f"HTTP {response.status}"}

    async def _find(self, order: Order, number: str) -> dict[str, Any]:
        """Return WeChat's entry of an order, or of a refund of it. Raises as `_ask`."""
        request = {"openid": order.openid, "env": self._env, "order_id": number}
        info = (await self._ask(order, QUERY, request)).get("order")
        if not isinstance(info, dict) or info.get("order_id") != number:
            raise self._unavailable(QUERY)
        return info

    async def _ask(self, order: Order, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a call that WeChat carries out, or has done before.

        Raises MerchantRefused, or ServiceUnavailable if WeChat may accept the call later.
        """
        answer = await self.call(order.app_id, name, request)
        code = answer.get("errcode")
        if code in (None, 0, DUPLICATE_CODE):
            return answer
        if type(code) is not int or code in UNCLEAR_CODES:
            raise self._unavailable(name, code)
        raise MerchantRefused(str(code))

    def _unavailable(self, name: str, errcode: object = "unreadable") -> ServiceUnavailable:
        log.error("xpay_request_rejected", call=name, errcode=errcode)
        self._on_rejection(name, str(errcode)[:ERRCODE_LENGTH])
        return ServiceUnavailable(self._api.service)


def parse_event(content: Mapping[str, Any]) -> Payment | Refund | None:
    """Return the payment or refund in a pushed event, None in others. Raises Unreadable.

    Source: WeChat, "virtual payment", events.
    """
    if content.get("Event") == REFUNDED:
        if content.get("RetCode") != 0:
            return None  # a failed refund returned no money
        order, refund = text(content, "MchOrderId"), text(content, "WxRefundId")
        own = str(content.get("MchRefundId") or "")  # a refund by Apple may have none
        openid = str(content["OpenId"]) if content.get("OpenId") else None
        return Refund(PROVIDER, order, refund, number(content, "RefundFee"), openid=openid, own=own)
    if content.get("Event") != DELIVERED:
        return None
    goods, wechat_pay = child(content, "GoodsInfo"), content.get("WeChatPayInfo")
    # Absent for Apple payments.
    transaction = wechat_pay.get("TransactionId") if isinstance(wechat_pay, dict) else ""
    return Payment(
        PROVIDER,
        text(content, "OutTradeNo"),
        str(transaction or ""),
        number(goods, "OrigPrice"),
        openid=text(content, "OpenId"),
        product=text(goods, "ProductId"),
        sandbox=number(content, "Env") == 1,
        quantity=number(goods, "Quantity"),
        paid_fen=_whole(goods.get("ActualPrice")),
    )


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def pay_sig(app_key: str, target: str, text: str) -> str:
    """Return the signature in hex of the path "/xpay/query_order", or CLIENT_CALL, and a text.

    Source: WeChat, "virtual payment", signatures.
    """
    return hmac.new(app_key.encode(), f"{target}&{text}".encode(), sha256).hexdigest()


def user_signature(session_key: str, text: str) -> str:
    """Return proof of the user's consent in hex; the key is used as base64 text, not decoded."""
    return hmac.new(session_key.encode(), text.encode(), sha256).hexdigest()
