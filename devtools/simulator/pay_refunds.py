"""Simulated refunds of WeChat Pay orders (JSAPI)."""

import copy
from typing import Any

from devtools.simulator.delivery import Make
from devtools.simulator.merchant import (
    NOTIFY_URL,
    Outcome,
    SimulatedMerchantApi,
    filled,
    first_invalid,
    matches,
    refuse,
)
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.refunds import NUMBER, SimulatedRefund, SimulatedRefunds
from devtools.simulator.reports import SimulatedNotification, SimulatedNotifications
from devtools.simulator.wire import SimulatorReply, SimulatorRequest

PROVIDER = "jsapi"
STATUSES = {"pending": "PROCESSING", "done": "SUCCESS", "failed": "ABNORMAL"}


class SimulatedPayRefunds:
    """The merchant's API for refunds; every answer is signed."""

    def __init__(
        self,
        api: SimulatedMerchantApi,
        pay: SimulatedPay,
        refunds: SimulatedRefunds,
        notices: SimulatedNotifications,
    ) -> None:
        self._api = api
        self._pay = pay
        self._refunds = refunds
        self._notices = notices

    def create(self, request: SimulatorRequest) -> SimulatorReply:
        return self._api.answer(request, "POST", lambda: self._create(request))

    def query(self, request: SimulatorRequest) -> SimulatorReply:
        refund = self._refunds.refunds.get(request.path.rpartition("/")[2])
        return self._api.answer(request, "GET", lambda: self._state(refund))

    def _create(self, request: SimulatorRequest) -> Outcome:
        content = request.json_object() or {}
        if invalid := _invalid_field(content):
            return refuse(400, "PARAM_ERROR", invalid)
        refund = self._refunds.refunds.get(content["out_refund_no"])
        if refund is None:
            if problem := self._problem(content):
                return problem
            refund = self._new(content)
            self._refunds.add(refund)
        elif refund.request != content:
            return refuse(400, "INVALID_REQUEST", "退款单号已存在但信息不一致")
        if self._refunds.take_fault("lost"):
            return refuse(500, "SYSTEM_ERROR", "系统错误")
        return self._state(refund)

    def _problem(self, content: dict[str, Any]) -> Outcome | None:
        number, amount = content["out_trade_no"], content["amount"]
        paid = self._pay.paid.get(number)
        if paid is None:
            return refuse(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        total = paid["amount"]["total"]
        if amount["total"] != total or self._refunds.refunded(number) + amount["refund"] > total:
            return refuse(400, "INVALID_REQUEST", "订单金额或退款金额不正确")
        if self._refunds.take_fault("NOT_ENOUGH"):
            return refuse(403, "NOT_ENOUGH", "基本账户余额不足")
        return None

    def _new(self, content: dict[str, Any]) -> SimulatedRefund:
        number, fen = content["out_trade_no"], content["amount"]["refund"]
        return SimulatedRefund(
            content["out_refund_no"], PROVIDER, number, fen, content, self._finish
        )

    def _state(self, refund: SimulatedRefund | None) -> Outcome:
        if refund is None or refund.provider != PROVIDER:
            return refuse(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return 200, {**self._statement(refund), "status": STATUSES[refund.state]}

    def _statement(self, refund: SimulatedRefund) -> dict[str, Any]:
        paid = self._pay.paid[refund.order]
        amount = {name: paid["amount"][name] for name in ("total", "payer_total")}
        return {
            "out_trade_no": refund.order,
            "transaction_id": paid["transaction_id"],
            "out_refund_no": refund.number,
            "refund_id": refund.wechat_number,
            "user_received_account": "支付用户零钱",
            "amount": {**amount, "refund": refund.fen, "payer_refund": refund.fen},
        }

    def _finish(self, refund: SimulatedRefund) -> Make:
        status = STATUSES[refund.state]
        if refund.state == "done":
            self._pay.paid[refund.order]["trade_state"] = "REFUND"
        content = {
            "mchid": self._api.mchid,
            **self._statement(refund),
            "refund_status": status,
            "success_time": self._api.china_time(self._api.now()),
        }

        def build(mode: str) -> SimulatedNotification:
            sent, address = copy.deepcopy(content), refund.request["notify_url"]
            sent["amount"]["refund"] += mode == "wrong_amount"
            return self._notices.report(address, f"REFUND.{status}", sent, mode, original="refund")

        return build


def _invalid_field(content: dict[str, Any]) -> str:
    amount = content.get("amount")
    sums = amount if isinstance(amount, dict) else {}
    return first_invalid(
        {
            "out_trade_no": filled(content.get("out_trade_no"), 32),
            "out_refund_no": matches(NUMBER, content.get("out_refund_no")),
            "reason": "reason" not in content or filled(content["reason"], 80),
            "notify_url": matches(NOTIFY_URL, content.get("notify_url")),
            "amount": all(
                type(sums.get(name)) is int and sums[name] > 0 for name in ("refund", "total")
            )
            and sums.get("currency") == "CNY",
        }
    )
