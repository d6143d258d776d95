"""Simulated WeChat Pay (JSAPI): orders, the phone that pays them, and refunds."""

import copy
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import HTTPRequest

from devtools.simulator.merchant import Outcome, SimulatedMerchantApi, refuse
from devtools.simulator.refunds import NUMBER, SimulatedRefund, SimulatedRefunds
from devtools.simulator.wire import SimulatorRequest

PROVIDER = "jsapi"
REFUND_STATUSES = {"pending": "PROCESSING", "done": "SUCCESS", "failed": "ABNORMAL"}
ONE_ORDER = re.compile(r"/v3/pay/transactions/out-trade-no/([^/]+)(/close)?")


@dataclass(eq=False)
class SimulatedPay:
    """Keeps the orders and payments of one merchant.

    Tests use `orders` (out_trade_no -> order request), `prepaid` (-> prepay_id), `paid` (->
    transaction) and `closed`.
    """

    _api: SimulatedMerchantApi
    _refunds: SimulatedRefunds
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    prepaid: dict[str, str] = field(default_factory=dict)
    paid: dict[str, dict[str, Any]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    # ---- merchant API

    def jsapi(self, request: SimulatorRequest) -> Outcome:
        """Accept an order."""
        order = request.json_object() or {}
        if order.get("mchid") != self._api.mchid or order.get("appid") not in self._api.app_ids:
            return refuse(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not belong together")
        number = order["out_trade_no"]
        if self.orders.setdefault(number, order) != order:
            return refuse(403, "OUT_TRADE_NO_USED", "used with other content")
        prepay_id = self.prepaid.setdefault(number, "wx" + secrets.token_hex(17))
        return 200, {"prepay_id": prepay_id}

    def query_or_close(self, request: SimulatorRequest) -> Outcome:
        """Query an order, or close it (204)."""
        found = ONE_ORDER.fullmatch(request.path)
        number, close = found.groups() if found else ("", None)
        params = (request.json_object() or {}) if close else request.query
        if params.get("mchid") != self._api.mchid:
            return refuse(400, "PARAM_ERROR", "mchid")
        order = self.orders.get(number)
        if order is None:
            return refuse(404, "ORDER_NOT_EXIST", "no such order")
        if close:
            if number in self.paid:
                return refuse(400, "ORDERPAID", "paid already")
            self.closed.add(number)
            return 204, {}
        if number in self.paid:
            return 200, self.paid[number]
        state = "CLOSED" if number in self.closed else "NOTPAY"
        names = ("appid", "mchid", "out_trade_no")
        return 200, {**{name: order[name] for name in names}, "trade_state": state}

    def create_refund(self, request: SimulatorRequest) -> Outcome:
        content = request.json_object() or {}
        number = str(content.get("out_refund_no"))
        refund = self._refunds.refunds.get(number)
        if refund is None:
            if problem := self._refund_problem(number, content):
                return problem
            order, fen = content["out_trade_no"], content["amount"]["refund"]
            refund = SimulatedRefund(
                number, PROVIDER, order, fen, content, self._finish, self._api.now()
            )
            self._refunds.add(refund)
        elif refund.request != content:
            return refuse(400, "INVALID_REQUEST", "退款单号已存在但信息不一致")
        return self._refund_state(refund)

    def query_refund(self, request: SimulatorRequest) -> Outcome:
        return self._refund_state(self._refunds.refunds.get(request.path.rpartition("/")[2]))

    # ---- phone

    def pay(self, call: Mapping[str, Any], mode: str) -> tuple[str, HTTPRequest] | str:
        """Pay by a phone's call; return order number and notification, or the wrong field."""
        number = self._order_number(call)
        paid = self.take(number) if number else None
        if number is None or paid is None:
            return "paySign"
        address, content = self.orders[number]["notify_url"], _altered(paid, mode)
        return number, self._api.notification(address, "TRANSACTION.SUCCESS", content, mode)

    def take(self, number: str) -> dict[str, Any] | None:
        """Pay the order; return its transaction as notified, None if unknown or closed."""
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
                "success_time": self._api.china_time(self._api.now()),
                "payer": dict(order["payer"]),
                "amount": {**amount, "currency": "CNY", "payer_currency": "CNY"},
            },
        )

    def _order_number(self, call: Mapping[str, Any]) -> str | None:
        """Return a payment call's order number; None if unknown or not signed by the merchant."""
        prepay_id = str(call.get("package", "")).removeprefix("prepay_id=")
        number = next((key for key, value in self.prepaid.items() if value == prepay_id), None)
        if number is None:
            return None
        names = ("timeStamp", "nonceStr", "package")
        lines = [self.orders[number]["appid"], *(str(call.get(name)) for name in names)]
        text = "".join(f"{line}\n" for line in lines)
        return number if self._api.verify(text.encode(), str(call.get("paySign", ""))) else None

    # ---- refunds

    def _refund_problem(self, number: str, content: Mapping[str, Any]) -> Outcome | None:
        order, amount = str(content.get("out_trade_no")), content.get("amount") or {}
        fen, paid = amount.get("refund"), self.paid.get(order)
        if type(fen) is not int or fen <= 0 or not NUMBER.fullmatch(number):
            return refuse(400, "PARAM_ERROR", "amount or out_refund_no")
        if paid is None:
            return refuse(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        total = paid["amount"]["total"]
        if amount.get("total") != total or self._refunds.refunded(order) + fen > total:
            return refuse(400, "INVALID_REQUEST", "订单金额或退款金额不正确")
        if self._refunds.take_fault():
            return refuse(403, "NOT_ENOUGH", "基本账户余额不足")
        return None

    def _refund_state(self, refund: SimulatedRefund | None) -> Outcome:
        if refund is None or refund.provider != PROVIDER:
            return refuse(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return 200, {**self._statement(refund), "status": REFUND_STATUSES[refund.state]}

    def _statement(self, refund: SimulatedRefund) -> dict[str, Any]:
        paid = self.paid[refund.order]
        amount = {name: paid["amount"][name] for name in ("total", "payer_total")}
        return {
            "out_trade_no": refund.order,
            "transaction_id": paid["transaction_id"],
            "out_refund_no": refund.number,
            "refund_id": refund.wechat_number,
            "amount": {**amount, "refund": refund.fen, "payer_refund": refund.fen},
        }

    def _finish(self, refund: SimulatedRefund, mode: str) -> HTTPRequest:
        status = REFUND_STATUSES[refund.state]
        if refund.state == "done":
            self.paid[refund.order]["trade_state"] = "REFUND"
        content = {
            "mchid": self._api.mchid,
            **self._statement(refund),
            "refund_status": status,
            "success_time": self._api.china_time(self._api.now()),
        }
        content["amount"]["refund"] += mode == "wrong_amount"
        address, event = refund.request["notify_url"], f"REFUND.{status}"
        return self._api.notification(address, event, content, mode, original="refund")


def _altered(paid: Mapping[str, Any], mode: str) -> dict[str, Any]:
    altered: dict[str, Any] = copy.deepcopy(dict(paid))
    match mode:
        case "wrong_amount":
            altered["amount"]["total"] += 1
        case "wrong_payer":
            altered["payer"]["openid"] = "oSomebodyElse"
        case "wrong_app":
            altered["appid"] = "wx0000000000000000"
    return altered
