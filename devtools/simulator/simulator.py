"""Request router, outage switches and request log of the simulator."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Any

from config.settings import Settings
from devtools.development_secrets import DevSecrets
from devtools.simulator.im import SimulatedIm
from devtools.simulator.live import SimulatedCss
from devtools.simulator.merchant import SimulatedMerchantApi
from devtools.simulator.notifications import SimulatedDelivery, SimulatedPushes
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.payee import SimulatedPayee
from devtools.simulator.phone import SimulatedPhone
from devtools.simulator.platform_events import SimulatedPlatformEvents
from devtools.simulator.refunds import SimulatedRefunds
from devtools.simulator.transfers import SimulatedTransfers
from devtools.simulator.wechat import SimulatedWechat
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply
from devtools.simulator.xpay import SimulatedXpay

SERVICES = ("wechat", "im", "pay", "live")
MAX_LOG_ENTRIES = 200

Answer = Callable[[SimulatorRequest], SimulatorReply]


class Simulator:
    """WeChat, Tencent IM, WeChat Pay and CSS in one process; state is in memory only.

    `outage` maps a service to the HTTP status (int) that it answers or to the seconds (float) by
    which its answers are delayed.
    """

    def __init__(
        self,
        settings: Settings,
        dev: DevSecrets,
        address: str,
        now: Callable[[], float] = time,
    ) -> None:
        """Without a public URL, `address` receives its pushes and callbacks; `now` gives Unix
        seconds."""
        api, pay = f"{settings.server.public_url or address}/wx/api/qlive", settings.pay
        apps = {name: app.secret for name, app in settings.wechat.apps.items()}
        app_id = next(iter(apps), "")
        self.outage: dict[str, float | int] = {}
        self.log: deque[dict[str, str]] = deque(maxlen=MAX_LOG_ENTRIES)
        self.delivery = delivery = SimulatedDelivery()
        self.pushes = pushes = SimulatedPushes(
            f"{api}/qlive_pay/xpay_notify/", pay.push_token, pay.push_aes_key, app_id, now
        )
        self.wechat = wechat = SimulatedWechat(apps, now)
        self.im = im = SimulatedIm(settings.im, now)
        self.live = SimulatedCss(settings.live, now)
        self.merchant_api = merchant_api = SimulatedMerchantApi(apps, pay, dev, now)
        self.refunds = refunds = SimulatedRefunds(delivery)
        self.pay = SimulatedPay(merchant_api, refunds)
        self.xpay = SimulatedXpay(wechat, pay, pushes, refunds, now)
        self.transfers = transfers = SimulatedTransfers(merchant_api, delivery)
        self.platform_events = SimulatedPlatformEvents(pushes, delivery, app_id, now)
        self.phone = phone = SimulatedPhone(wechat, self.pay, self.xpay, delivery, now)
        payee = SimulatedPayee(transfers)
        self._routes: list[tuple[str, str, str, Answer]] = [
            # method, path, service, handler; services check the method themselves
            ("POST", r"/phone/login", "", phone.login),
            ("POST", r"/phone/pay", "", phone.pay),
            ("POST", r"/transfer/confirm", "", payee.confirm),
            ("POST", r"/transfer/expire", "", payee.expire),
            ("POST", r"/transfer/notify", "", payee.notify),
            ("POST", r"/transfer/fault", "", payee.set_fault),
            ("GET", r"/transfer/bills", "", payee.show),
            ("POST", r"/refund/next", "", refunds.set_next),
            ("POST", r"/refund/end", "", refunds.end),
            ("GET", r"/refund/list", "", refunds.show),
            ("GET|POST", r"/wechat_event", "", self.platform_events.answer),
            ("POST", r"/phone/chat", "im", im.chat),
            (".*", r"/sns/jscode2session", "wechat", wechat.jscode2session),
            (".*", r"/v4/.*", "im", im.answer),
            (".*", r"/v3/pay/transactions/jsapi", "pay", self.pay.jsapi),
            (".*", r"/v3/pay/transactions/out-trade-no/.*", "pay", self.pay.query_or_close),
            (".*", r"/v3/refund/domestic/refunds", "pay", self.pay.create_refund),
            (".*", r"/v3/refund/domestic/refunds/.*", "pay", self.pay.query_refund),
            (".*", r"/v3/fund-app/mch-transfer/transfer-bills", "pay", transfers.create),
            (".*", r"/v3/fund-app/mch-transfer/.*", "pay", transfers.query_or_cancel),
            (".*", r"/cgi-bin/stable_token", "wechat", wechat.stable_token),
            (".*", r"/xpay/.*", "wechat", self.xpay.answer),
            (".*", r"/live/?", "live", self.live.answer),
            ("GET", r"/log", "", self._show_log),
            ("POST", r"/outage", "", self._set_outage),
        ]

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Route a request; never raises for a bad one, waits only during a simulated delay."""
        for method, path, service, handler in self._routes:
            if re.fullmatch(method, request.method) and re.fullmatch(path, request.path):
                if not service:
                    return handler(request)
                reply = await self._simulate_outage(service) or handler(request)
                self._log_request(service, request, reply)
                if reply.delay_seconds:
                    await asyncio.sleep(reply.delay_seconds)
                return reply
        return json_reply({"detail": "the simulator does not play this"}, 404)

    async def _simulate_outage(self, service: str) -> SimulatorReply | None:
        outage = self.outage.get(service)
        if isinstance(outage, int):
            return json_reply({"detail": f"{service} plays an outage"}, outage)
        if outage is not None:
            await asyncio.sleep(outage)
        return None

    def _log_request(self, service: str, request: SimulatorRequest, reply: SimulatorReply) -> None:
        # Neither query nor body: they hold codes, secrets and signatures.
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"at": at, "service": service, "path": request.path, "outcome": _outcome(reply)}
        self.log.append(entry)

    def _show_log(self, _request: SimulatorRequest) -> SimulatorReply:
        return json_reply({"items": list(self.log)})

    def _set_outage(self, request: SimulatorRequest) -> SimulatorReply:
        """`{service, status | seconds}`; without both, the outage ends."""
        body: dict[str, Any] = request.json_object() or {}
        service, status, seconds = body.get("service"), body.get("status"), body.get("seconds")
        if service not in SERVICES:
            return bad_request(f"service: one of {', '.join(SERVICES)}")
        if status is not None and not (type(status) is int and 200 <= status <= 599):
            return bad_request("status: an HTTP status")
        if seconds is not None and not (type(seconds) in (int, float) and 0 <= seconds <= 600):
            return bad_request("seconds: 0 to 600")
        self.outage.pop(service, None)
        if status is not None:
            self.outage[service] = status
        elif seconds is not None:
            self.outage[service] = float(seconds)
        return json_reply({"outage": self.outage})


def _outcome(reply: SimulatorReply) -> str:
    """The service's own error code, which its HTTP status may hide."""
    content = json.loads(reply.body or b"{}")
    error = content.get("Response", {}).get("Error", {})
    code = (
        content.get("errcode")
        or content.get("ErrorCode")
        or content.get("code")
        or error.get("Code")
    )
    return str(code) if code else ("ok" if reply.status in (200, 204) else f"HTTP {reply.status}")
