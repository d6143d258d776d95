"""Simulated WeChat virtual payment (xpay): phone purchases and the server API."""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from devtools.simulator.access import SimulatedAccessTokens
from devtools.simulator.codes import LoginCodes
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from devtools.simulator.xpay_refunds import SimulatedXpayRefunds

BAD_TOKEN, BAD_PARAMETER, BAD_SIGNATURE, DUPLICATE = 40001, 268490002, 268490003, 268490004
PAID, DELIVERED = 2, 4


class SimulatedXpay:
    """Paid orders; `orders` (by OutTradeNo, as in query_order) and `app_key` are for tests."""

    def __init__(
        self,
        access: SimulatedAccessTokens,
        codes: LoginCodes,
        offer_id: str,
        app_key: str,
        env: int,
        now: Callable[[], float],
        refunds: SimulatedXpayRefunds,
    ) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self._access = access
        self._codes = codes
        self._offer_id = offer_id
        self.app_key = app_key
        self._env = env
        self._now = now
        self._refunds = refunds

    # ---- server API

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """HTTP 200 for success and failure alike, as in WeChat."""
        name, content = request.path.removeprefix("/xpay/"), request.json_object()
        if self._access.app_of(request.query.get("access_token", "")) is None:
            return _error(BAD_TOKEN, "invalid credential")
        text = f"{request.path}&{request.body.decode(errors='replace')}"
        if not self._check(self.app_key, text, request.query.get("pay_sig", "")):
            return _error(BAD_SIGNATURE, "pay_sig")
        if content is None or content.get("env") != self._env:
            return _error(BAD_PARAMETER, "env")
        number = str(content.get("order_id", ""))
        refund = self._refunds.query(number)
        if refund and name == "query_order":
            return json_reply({"errcode": 0, "errmsg": "OK", "order": refund})
        order = self.orders.get(number)
        if order is None:
            return _error(BAD_PARAMETER, "order_id")
        return self._about(name, order, content)

    def _about(
        self, name: str, order: dict[str, Any], content: Mapping[str, Any]
    ) -> SimulatorReply:
        match name:
            case "query_order":
                visible = {key: value for key, value in order.items() if not key.startswith("_")}
                if content.get("openid") != order["_openid"]:
                    return _error(268490001, "openid")
                return json_reply({"errcode": 0, "errmsg": "OK", "order": visible})
            case "notify_provide_goods":
                delivered, order["status"] = order["status"] == DELIVERED, DELIVERED
                return _error(DUPLICATE, "duplicate") if delivered else _error(0, "OK")
            case "refund_order":
                if content.get("openid") != order["_openid"]:
                    return _error(268490001, "openid")
                return _error(self._refunds.create(order, content), "refund_order")
        return _error(BAD_PARAMETER, "no such call")

    # ---- phone

    def buy(self, call: Mapping[str, Any]) -> dict[str, Any] | str:
        """Pay by a phone's payment call; the order, or the parameter that WeChat rejects."""
        sign_data = str(call.get("signData", ""))
        try:
            purchase = json.loads(sign_data)
        except ValueError:
            return "signData"
        if not self._check(self.app_key, f"requestVirtualPayment&{sign_data}", call.get("paySig")):
            return "paySig"
        openid = self._codes.signer(sign_data, str(call.get("signature", "")))
        if openid is None:
            return "signature"
        if (purchase.get("offerId"), purchase.get("env")) != (self._offer_id, self._env):
            return "offerId"
        return self.take(purchase, openid)

    def take(self, purchase: Mapping[str, Any], openid: str) -> dict[str, Any]:
        """Pay the order of a purchase; the order as query_order shows it."""
        fee = purchase["goodsPrice"] * purchase["buyQuantity"]
        return self.orders.setdefault(
            purchase["outTradeNo"],
            {
                "order_id": purchase["outTradeNo"],
                "status": PAID,
                "order_fee": fee,
                "paid_fee": fee,
                "left_fee": fee,
                "paid_time": int(self._now()),
                "env_type": self._env + 1,
                "order_type": 0,
                "wx_order_id": f"WX{secrets.token_hex(8)}",
                "wxpay_order_id": f"42{secrets.randbelow(10**26):026}",
                "_openid": openid,
                "_purchase": purchase,
            },
        )

    def delivery(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The event by which WeChat requests delivery of an order."""
        purchase = order["_purchase"]
        return {
            "ToUserName": "gh_simulator",
            "FromUserName": order["_openid"],
            "CreateTime": int(self._now()),
            "MsgType": "event",
            "Event": "xpay_goods_deliver_notify",
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

    def _check(self, key: str, text: str, signature: object) -> bool:
        expected = hmac.new(key.encode(), text.encode(), sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), str(signature).encode())


def _error(errcode: int, errmsg: str) -> SimulatorReply:
    return json_reply({"errcode": errcode, "errmsg": errmsg})
