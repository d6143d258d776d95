"""Request router, outage switches and request log of the simulator."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

from devtools.simulator.access import SimulatedAccessTokens
from devtools.simulator.codes import LoginCodes
from devtools.simulator.delivery import SimulatedDelivery
from devtools.simulator.groups import SimulatedGroupChanges
from devtools.simulator.im import SimulatedIm
from devtools.simulator.live import SimulatedCss
from devtools.simulator.merchant import SimulatedMerchantApi
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.pay_refunds import SimulatedPayRefunds
from devtools.simulator.payee import SimulatedPayee
from devtools.simulator.payer import SimulatedPayer
from devtools.simulator.phone import SimulatedPhone
from devtools.simulator.platform_events import SimulatedPlatformEvents
from devtools.simulator.refunds import SimulatedRefunds
from devtools.simulator.reports import (
    SimulatedImCallbacks,
    SimulatedNotifications,
    SimulatedPushes,
)
from devtools.simulator.sns import SimulatedSns
from devtools.simulator.transfers import SimulatedTransfers
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply
from devtools.simulator.xpay import SimulatedXpay
from devtools.simulator.xpay_refunds import SimulatedXpayRefunds

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
        *,
        apps: Mapping[str, str],
        sdk_app_id: int,
        im_key: str,
        im_admin: str,
        mchid: str,
        merchant_serial: str,
        merchant_public_key: str,
        platform_key_id: str,
        platform_private_key: str,
        apiv3_key: str,
        live_secret_id: str,
        live_secret_key: str,
        offer_id: str,
        app_key: str,
        push_token: str,
        push_aes_key: str,
        push_url: str,
        im_callback_token: str = "",
        im_callback_url: str = "",
        sandbox: bool = False,
        now: Callable[[], float] = time,
    ) -> None:
        """`apps` maps appId to secret, RSA keys are PEM text, `now` gives Unix seconds."""
        codes = LoginCodes(now)
        self.outage: dict[str, float | int] = {}
        self.log: deque[dict[str, str]] = deque(maxlen=MAX_LOG_ENTRIES)
        self.im = SimulatedIm(sdk_app_id, im_key, im_admin, now)
        callbacks = SimulatedImCallbacks(im_callback_url, im_callback_token, sdk_app_id, now)
        group_changes = SimulatedGroupChanges(self.im.groups, callbacks)
        self.merchant_api = merchant_api = SimulatedMerchantApi(
            apps,
            mchid,
            merchant_serial,
            merchant_public_key,
            platform_key_id,
            platform_private_key,
            now,
        )
        self.pay = SimulatedPay(merchant_api)
        self.live = SimulatedCss(live_secret_id, live_secret_key, now)
        self.access = SimulatedAccessTokens(apps, now)
        app_id = next(iter(apps), "")
        self.delivery = delivery = SimulatedDelivery()
        notices = SimulatedNotifications(apiv3_key, merchant_api.signed, now)
        self.pushes = pushes = SimulatedPushes(push_token, push_aes_key, app_id, now)
        self.refunds = refunds = SimulatedRefunds(delivery)
        pay_refunds = SimulatedPayRefunds(merchant_api, self.pay, refunds, notices)
        xpay_refunds = SimulatedXpayRefunds(refunds, pushes, push_url, now)
        self.xpay = SimulatedXpay(
            self.access, codes, offer_id, app_key, int(sandbox), now, xpay_refunds
        )
        self.platform_events = SimulatedPlatformEvents(pushes, push_url, app_id, now)
        self.payer = SimulatedPayer(self.pay, self.xpay, notices, pushes, push_url, delivery)
        self.transfers = transfers = SimulatedTransfers(merchant_api, notices, delivery)
        payee = SimulatedPayee(transfers)
        phone, sns = SimulatedPhone(apps, codes, now), SimulatedSns(apps, codes)
        self._routes: list[tuple[str, str, str, Answer]] = [
            # method, path, service, handler; services check the method themselves
            ("POST", r"/phone/login", "", phone.login),
            ("POST", r"/phone/pay", "", self.payer.answer),
            ("POST", r"/transfer/confirm", "", payee.confirm),
            ("POST", r"/transfer/expire", "", payee.expire),
            ("POST", r"/transfer/notify", "", payee.notify),
            ("POST", r"/transfer/fault", "", payee.set_fault),
            ("GET", r"/transfer/bills", "", payee.show),
            ("POST", r"/refund/next", "", refunds.set_next),
            ("POST", r"/refund/end", "", refunds.end),
            ("GET", r"/refund/list", "", refunds.show),
            ("POST", r"/group", "", group_changes.answer),
            ("GET|POST", r"/wechat_event", "", self.platform_events.answer),
            ("POST", r"/phone/chat", "im", self.im.chat),
            (".*", r"/sns/jscode2session", "wechat", sns.jscode2session),
            (".*", r"/v4/.*", "im", self.im.answer),
            (".*", r"/v3/pay/transactions/jsapi", "pay", self.pay.jsapi),
            (".*", r"/v3/pay/transactions/out-trade-no/.*", "pay", self.pay.query_or_close),
            (".*", r"/v3/refund/domestic/refunds", "pay", pay_refunds.create),
            (".*", r"/v3/refund/domestic/refunds/.*", "pay", pay_refunds.query),
            (".*", r"/v3/fund-app/mch-transfer/transfer-bills", "pay", transfers.create),
            (".*", r"/v3/fund-app/mch-transfer/.*", "pay", transfers.query_or_cancel),
            (".*", r"/cgi-bin/stable_token", "wechat", self.access.stable_token),
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
