"""A phone that pays: the service takes the money, and reports it as well or as badly as asked."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from tencent.simulator.pay import Pay
from tencent.simulator.reports import UNPROVEN, WRONG, Notices, Pushes, Report
from tencent.simulator.wire import SimReply, SimRequest, bad_request, json_reply
from tencent.simulator.xpay import XPay

HABITS = ("once", "never", "twice", "late", *UNPROVEN, *WRONG)
LATE_SECONDS = 3.0
TRIES, PAUSE_SECONDS = 5, 0.5
Make = Callable[[str], Report]


class Payer:
    """`statuses` are the answers to its reports, for tests."""

    def __init__(
        self, pay: Pay, xpay: XPay, notices: Notices, pushes: Pushes, push_to: str
    ) -> None:
        """`push_to` is the address of the mini-program's message push."""
        self.statuses: list[int] = []
        self._push_to = push_to
        self._pay = pay
        self._xpay = xpay
        self._notices = notices
        self._pushes = pushes
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, request: SimRequest) -> SimReply:
        """`{content, outcome?: success | cancel, report?: one of HABITS}` -> `{outcome, order}`."""
        wish = request.json_object() or {}
        habit = wish.get("report", "once")
        try:
            call = json.loads(str(wish.get("content")))
        except ValueError:
            call = None
        if not isinstance(call, dict) or habit not in HABITS:
            return bad_request(f"content: of POST qlive_pay; report: one of {', '.join(HABITS)}")
        if wish.get("outcome", "success") == "cancel":
            return json_reply({"outcome": "cancel", "order": None})
        taken = self._take(call)
        if isinstance(taken, str):
            return json_reply({"outcome": "failed", "why": taken, "order": None})
        number, make = taken
        task = asyncio.get_running_loop().create_task(self._report(make, habit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return json_reply({"outcome": "success", "order": number})

    async def quiet(self) -> None:
        """When every report has had its answer."""
        await asyncio.gather(*self._tasks)

    def _take(self, call: Mapping[str, Any]) -> tuple[str, Make] | str:
        """(order number, its report), or why it cannot be paid."""
        if "signData" in call:
            bought = self._xpay.buy(call)
            if isinstance(bought, str):
                return bought
            content = self._xpay.delivery(bought)
            return bought["order_id"], lambda habit: self._pushes.report(
                self._push_to, content, habit
            )
        number = self._pay.number_of(call)
        paid = self._pay.take(number) if number else None
        if number is None or paid is None:
            return "paySign"
        address, event = self._pay.orders[number]["notify_url"], "TRANSACTION.SUCCESS"
        return number, lambda habit: self._notices.report(address, event, paid, habit)

    async def _report(self, make: Make, habit: str) -> None:
        if habit == "never":
            return
        if habit == "late":
            await asyncio.sleep(LATE_SECONDS)
        report = make(habit)
        for _ in range(2 if habit == "twice" else 1):
            await self._send(report)

    async def _send(self, report: Report) -> None:
        """Repeated while it fails, if not as long as the real ones are."""
        for _ in range(TRIES):
            status = await _post(report)
            self.statuses.append(status)
            if status < 300 or 400 <= status < 500:
                return
            await asyncio.sleep(PAUSE_SECONDS)


async def _post(report: Report) -> int:
    """The HTTP status; 599 when nobody answered."""
    request = HTTPRequest(
        report.address, "POST", dict(report.headers), report.body, request_timeout=5
    )
    try:
        return int((await AsyncHTTPClient().fetch(request, raise_error=False)).code)
    except (HTTPClientError, OSError):
        return 599
