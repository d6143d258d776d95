"""Simulated WeChat Pay (JSAPI): orders, and the phone that pays them."""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from devtools.simulator.merchant import (
    NOTIFY_URL,
    Outcome,
    SimulatedMerchantApi,
    filled,
    first_invalid,
    matches,
    refuse,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest

ORDER_NO = re.compile(r"[0-9A-Za-z_\-*|]{6,32}")
ONE_ORDER = re.compile(r"/v3/pay/transactions/out-trade-no/([^/]+)(/close)?")
MIN_EXPIRY, MAX_EXPIRY = timedelta(minutes=1), timedelta(days=90)


class SimulatedPay:
    """Orders and payments of one merchant.

    For tests: `orders` (out_trade_no -> order request), `prepaid` (-> prepay_id), `paid` (->
    transaction) and `closed`.
    """

    def __init__(self, api: SimulatedMerchantApi) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.prepaid: dict[str, str] = {}
        self.paid: dict[str, dict[str, Any]] = {}
        self.closed: set[str] = set()
        self._api = api

    # ---- merchant API

    def jsapi(self, request: SimulatorRequest) -> SimulatorReply:
        """200 with a prepay_id, or `{code, message}`; every answer is signed."""
        return self._api.answer(request, "POST", lambda: self._order(request))

    def query_or_close(self, request: SimulatorRequest) -> SimulatorReply:
        """Query an order, or close it (204); every answer is signed."""
        found = ONE_ORDER.fullmatch(request.path)
        number, close = found.groups() if found else ("", None)
        if close:
            return self._api.answer(request, "POST", lambda: self._close(request, number))
        return self._api.answer(request, "GET", lambda: self._state(request, number))

    # ---- phone

    def take(self, number: str) -> dict[str, Any] | None:
        """Pay the order; its transaction as in notifications, None if unknown or closed."""
        order = self.orders.get(number)
        if order is None or number in self.closed:
            return None
        total = order["amount"]["total"]
        amount = {"total": total, "payer_total": total}
        return self.paid.setdefault(
            number,
            {
                "mchid": self._api.mchid,
                "appid": order["appid"],
                "out_trade_no": number,
                "transaction_id": f"42{secrets.randbelow(10**26):026}",
                "trade_type": "JSAPI",
                "trade_state": "SUCCESS",
                "trade_state_desc": "支付成功",
                "bank_type": "OTHERS",
                "attach": "",
                "success_time": self._api.china_time(self._api.now()),
                "payer": dict(order["payer"]),
                "amount": {**amount, "currency": "CNY", "payer_currency": "CNY"},
            },
        )

    def order_number(self, call: Mapping[str, Any]) -> str | None:
        """Order number of a phone's payment call; None if unknown or not signed by the merchant."""
        prepay_id = str(call.get("package", "")).removeprefix("prepay_id=")
        number = next((key for key, value in self.prepaid.items() if value == prepay_id), None)
        if number is None:
            return None
        names = ("timeStamp", "nonceStr", "package")
        lines = [self.orders[number]["appid"], *(str(call.get(name)) for name in names)]
        text = "".join(f"{line}\n" for line in lines)
        return number if self._api.verify(text.encode(), str(call.get("paySign", ""))) else None

    # ---- internals

    def _order(self, request: SimulatorRequest) -> Outcome:
        order = request.json_object()
        invalid = "body" if order is None else self._invalid_parameter(order)
        if order is None or invalid:
            return refuse(400, "PARAM_ERROR", invalid)
        if order["mchid"] != self._api.mchid or order["appid"] not in self._api.app_ids:
            return refuse(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not belong together")
        number = order["out_trade_no"]
        if self.orders.setdefault(number, order) != order:
            return refuse(403, "OUT_TRADE_NO_USED", "used with other content")
        prepay_id = self.prepaid.setdefault(number, "wx" + secrets.token_hex(17))
        return 200, {"prepay_id": prepay_id}

    def _state(self, request: SimulatorRequest, number: str) -> Outcome:
        if request.query.get("mchid") != self._api.mchid:
            return refuse(400, "PARAM_ERROR", "mchid")
        order = self.orders.get(number)
        if order is None:
            return refuse(404, "ORDER_NOT_EXIST", "no such order")
        if number in self.paid:
            return 200, self.paid[number]
        state = "CLOSED" if number in self.closed else "NOTPAY"
        names = ("appid", "mchid", "out_trade_no")
        return 200, {**{name: order[name] for name in names}, "trade_state": state}

    def _close(self, request: SimulatorRequest, number: str) -> Outcome:
        if (request.json_object() or {}).get("mchid") != self._api.mchid:
            return refuse(400, "PARAM_ERROR", "mchid")
        if number in self.paid:
            return refuse(400, "ORDERPAID", "paid already")
        if number not in self.orders:
            return refuse(404, "ORDER_NOT_EXIST", "no such order")
        self.closed.add(number)
        return 204, {}

    def _invalid_parameter(self, order: Mapping[str, Any]) -> str:
        """The name of the first invalid parameter, or ""."""
        amount, payer = order.get("amount"), order.get("payer")
        total = amount.get("total") if isinstance(amount, dict) else None
        rules = {
            "appid": filled(order.get("appid"), 32),
            "mchid": filled(order.get("mchid"), 32),
            "description": filled(order.get("description"), 127),
            "out_trade_no": matches(ORDER_NO, order.get("out_trade_no")),
            "notify_url": matches(NOTIFY_URL, order.get("notify_url")),
            "amount": type(total) is int and total >= 1,
            "payer": isinstance(payer, dict) and filled(payer.get("openid"), 128),
            "time_expire": self._is_ahead(order.get("time_expire")),
        }
        return first_invalid(rules)

    def _is_ahead(self, value: object) -> bool:
        if value is None:
            return True  # WeChat Pay defaults to seven days
        try:
            expires = datetime.fromisoformat(str(value))
        except ValueError:
            return False
        if expires.tzinfo is None:
            return False
        ahead = timedelta(seconds=expires.timestamp() - self._api.now())
        return MIN_EXPIRY <= ahead <= MAX_EXPIRY
