"""Simulated phone that pays, and the resulting notification, correct or faulty."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from devtools.simulator.pay import SimulatedPay
from devtools.simulator.reports import (
    MISMATCHED,
    UNVERIFIABLE,
    SimulatedNotification,
    SimulatedNotifications,
    SimulatedPushes,
    post_notification,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply
from devtools.simulator.xpay import SimulatedXpay

NOTIFICATION_MODES = ("once", "never", "twice", "late", *UNVERIFIABLE, *MISMATCHED)
LATE_SECONDS = 3.0
MAX_ATTEMPTS, RETRY_DELAY_SECONDS = 5, 0.5
Make = Callable[[str], SimulatedNotification]


class SimulatedPayer:
    """Pays orders and notifies the server; `statuses`, its HTTP answers, are for tests."""

    def __init__(
        self,
        pay: SimulatedPay,
        xpay: SimulatedXpay,
        notices: SimulatedNotifications,
        pushes: SimulatedPushes,
        push_url: str,
    ) -> None:
        """`push_url` receives the message push of the mini-program."""
        self.statuses: list[int] = []
        self._push_url = push_url
        self._pay = pay
        self._xpay = xpay
        self._notices = notices
        self._pushes = pushes
        self._tasks: set[asyncio.Task[None]] = set()

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
        task = asyncio.get_running_loop().create_task(self._report(build, mode))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return json_reply({"outcome": "success", "order": number})

    async def quiet(self) -> None:
        """Wait until every notification has been answered."""
        await asyncio.gather(*self._tasks)

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

    async def _report(self, build: Make, mode: str) -> None:
        if mode == "never":
            return
        if mode == "late":
            await asyncio.sleep(LATE_SECONDS)
        report = build(mode)
        for _ in range(2 if mode == "twice" else 1):
            await self._send(report)

    async def _send(self, report: SimulatedNotification) -> None:
        """Retry while the server fails, for a shorter time than WeChat does."""
        for _ in range(MAX_ATTEMPTS):
            status = await post_notification(report)
            self.statuses.append(status)
            if status < 300 or 400 <= status < 500:
                return
            await asyncio.sleep(RETRY_DELAY_SECONDS)
