"""Simulated phone that pays, and the resulting notification, correct or faulty."""

import json
from collections.abc import Mapping
from typing import Any

from devtools.simulator.delivery import DELIVERIES, Make, SimulatedDelivery
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.reports import (
    MISMATCHED,
    UNVERIFIABLE,
    SimulatedNotifications,
    SimulatedPushes,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply
from devtools.simulator.xpay import SimulatedXpay

NOTIFICATION_MODES = (*DELIVERIES, *UNVERIFIABLE, *MISMATCHED)


class SimulatedPayer:
    """Pays orders and notifies the server."""

    def __init__(
        self,
        pay: SimulatedPay,
        xpay: SimulatedXpay,
        notices: SimulatedNotifications,
        pushes: SimulatedPushes,
        push_url: str,
        delivery: SimulatedDelivery,
    ) -> None:
        """`push_url` receives the message push of the mini-program."""
        self._push_url = push_url
        self._pay = pay
        self._xpay = xpay
        self._notices = notices
        self._pushes = pushes
        self._delivery = delivery

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """`{content, outcome?, report?}` -> `{outcome, order}`.

        `outcome` is success or cancel, `report` one of NOTIFICATION_MODES.
        """
        params = request.json_object() or {}
        mode = params.get("report", "once")
        try:
            call = json.loads(str(params.get("content")))
        except ValueError:
            call = None
        if not isinstance(call, dict) or mode not in NOTIFICATION_MODES:
            return bad_request(
                f"content: of POST qlive_pay; report: one of {', '.join(NOTIFICATION_MODES)}"
            )
        if params.get("outcome", "success") == "cancel":
            return json_reply({"outcome": "cancel", "order": None})
        settled = self._settle(call)
        if isinstance(settled, str):
            return json_reply({"outcome": "failed", "why": settled, "order": None})
        number, build = settled
        self._delivery.start(build, mode)
        return json_reply({"outcome": "success", "order": number})

    def _settle(self, call: Mapping[str, Any]) -> tuple[str, Make] | str:
        """(order number, its notification), or why it cannot be paid."""
        if "signData" in call:
            bought = self._xpay.buy(call)
            if isinstance(bought, str):
                return bought
            content = self._xpay.delivery(bought)
            return bought["order_id"], lambda mode: self._pushes.report(
                self._push_url, content, mode
            )
        number = self._pay.order_number(call)
        paid = self._pay.take(number) if number else None
        if number is None or paid is None:
            return "paySign"
        address, event = self._pay.orders[number]["notify_url"], "TRANSACTION.SUCCESS"
        return number, lambda mode: self._notices.report(address, event, paid, mode)
