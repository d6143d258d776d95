"""WeChat's virtual payment: what the phone buys, and what the server asks of it."""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from tencent.simulator.access import Access
from tencent.simulator.codes import Codes
from tencent.simulator.wire import SimReply, SimRequest, json_reply

BAD_TOKEN, BAD_PARAMETER, BAD_SIGNATURE, DUPLICATE = 40001, 268490002, 268490003, 268490004
PAID, DELIVERED = 2, 4


class XPay:
    """`orders` (by OutTradeNo, as query_order shows them) is for tests."""

    def __init__(
        self,
        access: Access,
        codes: Codes,
        offer_id: str,
        app_key: str,
        env: int,
        now: Callable[[], float],
    ) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self._access = access
        self._codes = codes
        self._offer_id = offer_id
        self._app_key = app_key
        self._env = env
        self._now = now

    # ---- what the server asks

    def answer(self, request: SimRequest) -> SimReply:
        """HTTP 200 for success and failure alike, as the real one."""
        name, content = request.path.removeprefix("/xpay/"), request.json_object()
        if self._access.app_of(request.query.get("access_token", "")) is None:
            return _error(BAD_TOKEN, "invalid credential")
        text = f"{request.path}&{request.body.decode(errors='replace')}"
        if not self._fits(self._app_key, text, request.query.get("pay_sig", "")):
            return _error(BAD_SIGNATURE, "pay_sig")
        if content is None or content.get("env") != self._env:
            return _error(BAD_PARAMETER, "env")
        order = self.orders.get(str(content.get("order_id", "")))
        if order is None:
            return _error(BAD_PARAMETER, "order_id")
        match name:
            case "query_order":
                shown = {key: value for key, value in order.items() if not key.startswith("_")}
                if content.get("openid") != order["_openid"]:
                    return _error(268490001, "openid")
                return json_reply({"errcode": 0, "errmsg": "OK", "order": shown})
            case "notify_provide_goods":
                done, order["status"] = order["status"] == DELIVERED, DELIVERED
                return _error(DUPLICATE, "duplicate") if done else _error(0, "OK")
        return _error(BAD_PARAMETER, "no such call")

    # ---- what the phone does

    def buy(self, call: Mapping[str, Any]) -> dict[str, Any] | str:
        """The order that a phone has paid by this payment call, or why WeChat refuses it."""
        sign_data = str(call.get("signData", ""))
        try:
            wish = json.loads(sign_data)
        except ValueError:
            return "signData"
        if not self._fits(self._app_key, f"requestVirtualPayment&{sign_data}", call.get("paySig")):
            return "paySig"
        openid = self._codes.signer(sign_data, str(call.get("signature", "")))
        if openid is None:
            return "signature"
        if (wish.get("offerId"), wish.get("env")) != (self._offer_id, self._env):
            return "offerId"
        fee = wish["goodsPrice"] * wish["buyQuantity"]
        return self.orders.setdefault(
            wish["outTradeNo"],
            {
                "order_id": wish["outTradeNo"],
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
                "_wish": wish,
            },
        )

    def delivery(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The event by which WeChat asks for the goods of an order."""
        wish = order["_wish"]
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
                "ProductId": wish["productId"],
                "Quantity": wish["buyQuantity"],
                "OrigPrice": wish["goodsPrice"],
                "ActualPrice": wish["goodsPrice"],
                "Attach": wish.get("attach", ""),
            },
        }

    def _fits(self, key: str, text: str, given: object) -> bool:
        right = hmac.new(key.encode(), text.encode(), sha256).hexdigest()
        return hmac.compare_digest(right.encode(), str(given).encode())


def _error(errcode: int, errmsg: str) -> SimReply:
    return json_reply({"errcode": errcode, "errmsg": errmsg})
