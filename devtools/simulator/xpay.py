"""Simulated WeChat virtual payment (xpay): purchases, the server API, and refunds."""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import HTTPRequest

from config.sections import PaySettings
from devtools.simulator.notifications import SimulatedPushes
from devtools.simulator.refunds import NUMBER, SimulatedRefund, SimulatedRefunds
from devtools.simulator.wechat import SimulatedWechat, error_reply
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from tencent.xpay import CLIENT_CALL, pay_sig

PROVIDER = "xpay"
BAD_TOKEN, BAD_PARAMETER, BAD_SIGNATURE, DUPLICATE = 40001, 268490002, 268490003, 268490004
BAD_OPENID, NOT_ENOUGH, WRONG_LEFT_FEE = 268490001, 268490006, 268490016
PAID, DELIVERED, REFUNDED = 2, 4, 5
REFUND_STATUSES = {"pending": 1, "done": REFUNDED, "failed": 7}


@dataclass(eq=False)
class SimulatedXpay:
    """Keeps paid orders; tests use `orders` (by OutTradeNo, as in query_order)."""

    _wechat: SimulatedWechat
    _pay: PaySettings
    _pushes: SimulatedPushes
    _refunds: SimulatedRefunds
    _now: Callable[[], float]
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def _env(self) -> int:
        return int(self._pay.sandbox)

    # ---- server API

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Answer HTTP 200 for success and failure alike, as WeChat does."""
        if refusal := self.refusal(request):
            return refusal
        name, content = request.path.removeprefix("/xpay/"), request.json_object()
        if content is None or content.get("env") != self._env:
            return error_reply(BAD_PARAMETER, "env")
        number = str(content.get("order_id", ""))
        refund = self._refunds.refunds.get(number)
        if refund and refund.provider == PROVIDER and name == "query_order":
            # A refund is shown as an order of its own.
            status = REFUND_STATUSES[refund.state]
            shown = {"order_id": refund.number, "status": status, "order_type": 1}
            return json_reply({"errcode": 0, "errmsg": "OK", "order": shown})
        order = self.orders.get(number)
        if order is None:
            return error_reply(BAD_PARAMETER, "order_id")
        return self._about(name, order, content)

    def _about(
        self, name: str, order: dict[str, Any], content: Mapping[str, Any]
    ) -> SimulatorReply:
        if name != "notify_provide_goods" and content.get("openid") != order["_openid"]:
            return error_reply(BAD_OPENID, "openid")
        match name:
            case "query_order":
                visible = {key: value for key, value in order.items() if not key.startswith("_")}
                visible["left_fee"] = self._left_fee(order)
                return json_reply({"errcode": 0, "errmsg": "OK", "order": visible})
            case "notify_provide_goods":
                delivered, order["status"] = order["status"] == DELIVERED, DELIVERED
                return error_reply(DUPLICATE, "duplicate") if delivered else error_reply(0, "OK")
            case "refund_order":
                return error_reply(self._refund(order, content), "refund_order")
        return error_reply(BAD_PARAMETER, "no such call")

    def refusal(self, request: SimulatorRequest) -> SimulatorReply | None:
        """Return the refusal of a request without a valid token or signature."""
        if not self._wechat.is_access_token(request.query.get("access_token", "")):
            return error_reply(BAD_TOKEN, "invalid credential")
        text, given = request.body.decode(), request.query.get("pay_sig")
        if not _is_signed(self._pay.app_key, request.path, text, given):
            return error_reply(BAD_SIGNATURE, "pay_sig")
        return None

    # ---- phone

    def pay(self, call: Mapping[str, Any], mode: str) -> tuple[str, HTTPRequest] | str:
        """Pay by a phone's call; return order number and notification, or the wrong field."""
        bought = self.buy(call)
        if isinstance(bought, str):
            return bought
        content = _altered(self.delivery(bought), mode)
        return bought["order_id"], self._pushes.report(content, mode)

    def buy(self, call: Mapping[str, Any]) -> dict[str, Any] | str:
        """Pay by a phone's payment call; return the order, or the field that WeChat rejects."""
        sign_data = str(call.get("signData", ""))
        try:
            purchase = json.loads(sign_data)
        except ValueError:
            return "signData"
        if not _is_signed(self._pay.app_key, CLIENT_CALL, sign_data, call.get("paySig")):
            return "paySig"
        openid = self._wechat.signer(sign_data, str(call.get("signature", "")))
        if openid is None:
            return "signature"
        if (purchase.get("offerId"), purchase.get("env")) != (self._pay.offer_id, self._env):
            return "offerId"
        return self.take(purchase, openid)

    def take(self, purchase: Mapping[str, Any], openid: str) -> dict[str, Any]:
        """Pay the order of a purchase; return it as query_order shows it."""
        return self.orders.setdefault(
            purchase["outTradeNo"],
            {
                "order_id": purchase["outTradeNo"],
                "status": PAID,
                "order_fee": purchase["goodsPrice"] * purchase["buyQuantity"],
                "paid_time": int(self._now()),
                "env_type": self._env + 1,
                "wx_order_id": f"WX{secrets.token_hex(8)}",
                "wxpay_order_id": f"42{secrets.randbelow(10**26):026}",
                "_openid": openid,
                "_purchase": purchase,
            },
        )

    def delivery(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Return the event by which WeChat requests the delivery of an order."""
        purchase = order["_purchase"]
        fields = {
            "OpenId": order["_openid"],
            "OutTradeNo": order["order_id"],
            "Env": self._env,
            "WeChatPayInfo": {
                "MchOrderNo": order["wx_order_id"],
                "TransactionId": order["wxpay_order_id"],
                "PaidTime": order["paid_time"],
            },
            "GoodsInfo": {
                "ProductId": purchase["productId"],
                "Quantity": purchase["buyQuantity"],
                "OrigPrice": purchase["goodsPrice"],
                "ActualPrice": purchase["goodsPrice"],
                "Attach": purchase.get("attach", ""),
            },
        }
        return self._pushes.event("xpay_goods_deliver_notify", order["_openid"], fields)

    # ---- refunds

    def _left_fee(self, order: Mapping[str, Any]) -> int:
        return int(order["order_fee"]) - self._refunds.refunded(order["order_id"])

    def _refund(self, order: Mapping[str, Any], content: Mapping[str, Any]) -> int:
        """Refund an order; return the errcode of refund_order."""
        number, fen = str(content.get("refund_order_id")), content.get("refund_fee")
        if number in self._refunds.refunds:
            return DUPLICATE
        codes = {"refund_reason": "012345", "req_from": "123"}
        valid = all(str(content.get(name)) in allowed for name, allowed in codes.items())
        if not NUMBER.fullmatch(number) or type(fen) is not int or not valid:
            return BAD_PARAMETER
        left_fee = self._left_fee(order)
        if content.get("left_fee") != left_fee or not 0 < fen <= left_fee:
            return WRONG_LEFT_FEE
        if self._refunds.take_fault():
            return NOT_ENOUGH
        self._refunds.add(
            SimulatedRefund(
                number, PROVIDER, order["order_id"], fen, content, self._finish, self._now()
            )
        )
        return 0

    def _finish(self, refund: SimulatedRefund, mode: str) -> HTTPRequest:
        """Apply the refund to its order, and build a notification of it."""
        order = self.orders[refund.order]
        if refund.state == "done" and not self._left_fee(order):
            order["status"] = REFUNDED
        fields = {
            "OpenId": order["_openid"],
            "WxRefundId": refund.wechat_number,
            "MchRefundId": refund.number,
            "WxOrderId": order["wx_order_id"],
            "MchOrderId": order["order_id"],
            "RefundFee": refund.fen + (mode == "wrong_amount"),
            "RetCode": 0 if refund.state == "done" else 1,
            "RetryTimes": 0,
        }
        event = self._pushes.event("xpay_refund_notify", order["_openid"], fields)
        return self._pushes.report(event, mode)


def _is_signed(app_key: str, target: str, text: str, signature: object) -> bool:
    return hmac.compare_digest(pay_sig(app_key, target, text).encode(), str(signature).encode())


def _altered(content: Mapping[str, Any], mode: str) -> dict[str, Any]:
    goods = dict(content["GoodsInfo"])
    altered = {**content, "GoodsInfo": goods}
    match mode:
        case "wrong_amount":
            goods["OrigPrice"] += 1
        case "wrong_payer":
            altered["OpenId"] = "oSomebodyElse"
        case "wrong_app":
            goods["ProductId"] = "somebody_elses"
    return altered
