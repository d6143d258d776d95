"""Virtual payment in a mini-program (xpay, goods mode): one product of the console per block."""

import json
from collections.abc import Mapping
from typing import Any

import structlog

from money.recharge import Order, Payment, Refund
from rooms.refusals import ServiceAway
from tencent.access import STALE, AccessTokens
from tencent.outside import Outside
from tencent.xpaysign import ASKED_BY_PHONE, pay_sig, signature

log = structlog.get_logger("tencent.xpay")

PROVIDER = "xpay"
MODE = "short_series_goods"
# Awaiting delivery, delivering, delivered; and what was paid and given back since, of which the
# refund's own report tells.
PAID = frozenset({2, 3, 4, 5, 8})
DUPLICATE = 268490004  # done before
DELIVERED, REFUNDED = "xpay_goods_deliver_notify", "xpay_refund_notify"


class Unreadable(Exception):
    """A push of ours that lacks what it is about."""


class XPay:
    """Payments to one offer; `app_key` is that of production or of the sandbox."""

    def __init__(
        self, outside: Outside, tokens: AccessTokens, offer_id: str, app_key: str, *, sandbox: bool
    ) -> None:
        self._outside = outside
        self._tokens = tokens
        self._offer_id = offer_id
        self._app_key = app_key
        self._env = 1 if sandbox else 0

    async def prepare(self, order: Order, session_key: str) -> dict[str, str]:
        """Exactly what the phone passes to wx.requestVirtualPayment.

        Source: WeChat, "virtual payment", signData in goods mode.
        """
        sign_data = _json(
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
            "paySig": pay_sig(self._app_key, ASKED_BY_PHONE, sign_data),
            "signature": signature(session_key, sign_data),
        }

    async def query(self, order: Order) -> Payment | None:
        """What was paid for the order, or None so far; ServiceAway when that is not known.

        An order that the phone has never taken to WeChat is not known there: it has no number
        for that, and any other errcode is no answer.
        """
        asked = {"openid": order.openid, "env": self._env, "order_id": order.number}
        answer = await self._ask(order.app_id, "query_order", asked)
        found = answer.get("order")
        if answer.get("errcode") or not isinstance(found, dict):
            raise self._away("query_order", answer)
        if found.get("order_id") != order.number or type(found.get("order_fee")) is not int:
            raise self._away("query_order", answer)
        if found.get("status") not in PAID:
            return None
        return Payment(
            PROVIDER,
            order.number,
            str(found.get("wxpay_order_id") or ""),
            found["order_fee"],
            sandbox=found.get("env_type") == 2,
        )

    async def close(self, order: Order) -> None:
        """There is no such thing: whoever has the payment call can use it until it ends there."""

    async def deliver(self, order: Order) -> None:
        """Tell WeChat that the gold is there, when its own push did not reach us; ServiceAway."""
        asked = {"order_id": order.number, "env": self._env}
        answer = await self._ask(order.app_id, "notify_provide_goods", asked)
        if answer.get("errcode") not in (None, 0, DUPLICATE):
            raise self._away("notify_provide_goods", answer)

    async def _ask(self, app_id: str, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        token = await self._tokens.get(app_id)
        answer = await self._post(name, token, content)
        if answer.get("errcode") in STALE:
            self._tokens.drop(app_id, token)
            answer = await self._post(name, await self._tokens.get(app_id), content)
        return answer

    async def _post(self, name: str, token: str, content: Mapping[str, Any]) -> dict[str, Any]:
        path, body = f"/xpay/{name}", _json(content)
        query = {"access_token": token, "pay_sig": pay_sig(self._app_key, path, body)}
        headers = {"Content-Type": "application/json"}
        response = await self._outside.post(
            path, query, body.encode(), headers, safe_to_repeat=True
        )
        try:
            answer = json.loads(response.body)
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else {"errcode": f"HTTP {response.status}"}

    def _away(self, name: str, answer: Mapping[str, Any]) -> ServiceAway:
        log.error("xpay_refused", call=name, errcode=answer.get("errcode"))
        return ServiceAway(self._outside.name)


def news_of(content: Mapping[str, Any]) -> Payment | Refund | None:
    """What a push says of money; None when it says nothing of it. Unreadable.

    Source: WeChat, "virtual payment", events.
    """
    readers = {DELIVERED: _payment, REFUNDED: _refund}
    read = readers.get(str(content.get("Event")))
    return read(content) if read else None


def _payment(content: Mapping[str, Any]) -> Payment:
    goods, wechat = content.get("GoodsInfo"), content.get("WeChatPayInfo")
    if not isinstance(goods, dict):
        raise Unreadable
    transaction = wechat.get("TransactionId") if isinstance(wechat, dict) else ""  # Apple has none
    return Payment(
        PROVIDER,
        _text(content, "OutTradeNo"),
        str(transaction or ""),
        _number(goods, "OrigPrice") * _number(goods, "Quantity"),
        openid=_text(content, "OpenId"),
        product=_text(goods, "ProductId"),
        sandbox=_number(content, "Env") == 1,
    )


def _refund(content: Mapping[str, Any]) -> Refund | None:
    if content.get("RetCode") != 0:
        return None  # it has failed, and nobody has been given anything back
    order, refund = _text(content, "MchOrderId"), _text(content, "WxRefundId")
    return Refund(PROVIDER, order, refund, _number(content, "RefundFee"))


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 256:
        raise Unreadable
    return value


def _number(content: Mapping[str, Any], name: str) -> int:
    value = content.get(name)
    if type(value) is not int or not 0 <= value < 2**53:
        raise Unreadable
    return value
