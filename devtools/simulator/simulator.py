"""Request router, outage switches and request log of the simulator."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from time import time
from typing import Any, get_type_hints

from config.settings import Settings
from devtools.simulator.activity_cards import SimulatedActivityCards
from devtools.simulator.bills import SimulatedBills
from devtools.simulator.cloud import SimulatedLiveStreaming, compare_identity
from devtools.simulator.content_checks import SimulatedContentChecks
from devtools.simulator.cos import SimulatedCos
from devtools.simulator.im import SimulatedIm
from devtools.simulator.merchant import SimulatedMerchantApi
from devtools.simulator.notices import SimulatedNotices
from devtools.simulator.notifications import (
    SimulatedDelivery,
    SimulatedPlatformEvents,
    SimulatedPushes,
)
from devtools.simulator.pay import SimulatedPay
from devtools.simulator.refunds import SimulatedRefunds
from devtools.simulator.requests import EmptyRequest, OutageRequest, PhonePayRequest
from devtools.simulator.setup import SimulatedSetup
from devtools.simulator.transfers import SimulatedTransfers
from devtools.simulator.wechat import SimulatedWechat
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, json_reply
from devtools.simulator.xpay import SimulatedXpay

MAX_LOG_ENTRIES = 200

Control = Callable[[Any], dict[str, Any]]
"""Carries out a call to the simulator itself; its parameter has the model of the request."""
Answer = Callable[[SimulatorRequest], SimulatorReply | Awaitable[SimulatorReply]]


class Simulator:
    """WeChat, Tencent IM, WeChat Pay, CSS, COS and FaceID in one process.

    `outage` maps a service to the HTTP status (int) that it answers or to the seconds (float) by
    which its answers are delayed.
    """

    def __init__(
        self,
        settings: Settings,
        platform_key: str,
        address: str,
        now: Callable[[], float] = time,
    ) -> None:
        """Create the services; `now` gives Unix seconds.

        Without a public URL, `address` receives their pushes and callbacks.
        """
        self.setup = setup = SimulatedSetup(now)
        now = setup.now
        api, pay = f"{settings.server.public_url or address}/wx/api/qlive", settings.pay
        apps = {name: app.secret for name, app in settings.wechat.apps.items()}
        app_id = next(iter(apps), "")
        self.outage: dict[str, float | int] = {}
        self.log: deque[dict[str, str]] = deque(maxlen=MAX_LOG_ENTRIES)
        self.delivery = delivery = SimulatedDelivery()
        self.pushes = pushes = SimulatedPushes(
            f"{api}/qlive_pay/xpay_notify/", pay.push_token, pay.push_aes_key, app_id, now
        )
        self.wechat = wechat = SimulatedWechat(apps, now, settings.notices.template_id)
        self.im = SimulatedIm(settings.im, now, f"{api}/im/callback/", delivery)
        self.live_streaming = SimulatedLiveStreaming(
            settings.live_streaming, now, f"{api}/live/callback/", delivery
        )
        uploads_folder = settings.mongodb.data_dir.parent / "uploads"
        self.cos = SimulatedCos(settings.uploads, uploads_folder, now)
        self.merchant_api = merchant_api = SimulatedMerchantApi(apps, pay, platform_key, now)
        self.refunds = refunds = SimulatedRefunds(delivery)
        self.pay = SimulatedPay(merchant_api, refunds)
        self.xpay = SimulatedXpay(wechat, pay, pushes, refunds, now)
        self.transfers = transfers = SimulatedTransfers(merchant_api, delivery)
        self.bills = SimulatedBills(merchant_api, self.pay, self.xpay, refunds, transfers)
        self.platform_events = SimulatedPlatformEvents(pushes, delivery)
        self.content_checks = SimulatedContentChecks(wechat, pushes, delivery)
        self.activity_cards = SimulatedActivityCards(wechat, settings.links.page, now)
        self.notices = SimulatedNotices(wechat, pushes, delivery, settings.links.page)
        self._faceid = partial(compare_identity, settings.age_verification, now)
        self._controls = self._make_controls()
        self._services = self._make_services()

    def _make_controls(self) -> dict[str, Control]:
        """Return the calls to the simulator itself, by path."""
        transfers, refunds = self.transfers, self.refunds
        return {
            "/phone/login": self.wechat.login,
            "/phone/pay": self._pay,
            "/phone/private_message": self.activity_cards.open_message,
            "/phone/notice": self.notices.choose,
            "/notice/next": self.notices.set_next,
            "/transfer/confirm": transfers.confirm,
            "/transfer/expire": transfers.expire,
            "/transfer/notify": transfers.notify_again,
            "/transfer/fault": transfers.set_fault,
            "/transfer/bills": transfers.show,
            "/refund/next": refunds.set_next,
            "/refund/end": refunds.end,
            "/refund/list": refunds.show,
            "/bill/next": self.bills.set_next,
            "/content/next": self.content_checks.set_next,
            "/stream/event": self.live_streaming.send_event,
            "/wechat_event": self.platform_events.start,
            "/log": self._show_log,
            "/outage": self._set_outage,
            "/setup": self.setup.play,
        }

    def _make_services(self) -> list[tuple[str, str, Answer]]:
        """Return pattern of the path, service and handler of the services' own calls."""
        verified, pay, transfers = self.merchant_api.verified, self.pay, self.transfers
        return [
            (r"/phone/chat", "im", self.im.chat),
            (r"/sns/jscode2session", "wechat", self.wechat.jscode2session),
            (r"/v4/.*", "im", self.im.answer),
            (r"/v3/pay/transactions/jsapi", "pay", verified(pay.jsapi)),
            (r"/v3/pay/transactions/out-trade-no/.*", "pay", verified(pay.query_or_close)),
            (r"/v3/refund/domestic/refunds", "pay", verified(pay.create_refund)),
            (r"/v3/refund/domestic/refunds/.*", "pay", verified(pay.query_refund)),
            (r"/v3/fund-app/mch-transfer/transfer-bills", "pay", verified(transfers.create)),
            (r"/v3/fund-app/mch-transfer/.*", "pay", verified(transfers.query_or_cancel)),
            (r"/v3/bill/.*", "pay", verified(self.bills.describe)),
            (r"/v3/certificates", "pay", verified(self.merchant_api.certificates)),
            (r"/v3/billdownload/file", "pay", self.bills.download),
            (r"/bill_file", "wechat", self.bills.file),
            (r"/cgi-bin/stable_token", "wechat", self.wechat.stable_token),
            (r"/wxaapi/newtmpl/gettemplate", "wechat", self.wechat.templates),
            (r"/cgi-bin/message/subscribe/send", "notices", self.notices.answer),
            (
                r"/cgi-bin/message/wxopen/activityid/create|/wxa/(generate_urllink|getwxacodeunlimit)",
                "wechat",
                self.activity_cards.answer,
            ),
            (
                r"/wxa/(msg_sec_check|media_check_async|getuserriskrank)",
                "content",
                self.content_checks.answer,
            ),
            (r"/xpay/download_.*", "wechat", self.bills.describe_virtual),
            (r"/xpay/.*", "wechat", self.xpay.answer),
            (r"/live/?", "live", self.live_streaming.answer),
            (r"/cos/.*", "cos", self.cos.answer),
            (r"/cdn/.*", "cos", self.cos.show),
            (r"/faceid/?", "faceid", self._faceid),
        ]

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Route a request and never raise for a bad one.

        Waits during a simulated delay, and while the server is asked about a chat message.
        """
        if control := self._controls.get(request.path):
            model, *_ = get_type_hints(control).values()
            try:
                return json_reply(control(model.model_validate_json(request.body or b"{}")))
            except ValueError as error:
                return json_reply({"detail": str(error)}, 400)
        for path, service, handler in self._services:
            if re.fullmatch(path, request.path):
                outage = self.outage.get(service)
                if isinstance(outage, int):
                    reply = json_reply({"detail": f"{service} plays an outage"}, outage)
                else:
                    if outage:
                        await asyncio.sleep(outage)
                    answer = self.setup.answer(request) or handler(request)
                    reply = answer if isinstance(answer, SimulatorReply) else await answer
                    reply = self.setup.changed(request, reply)
                # Query and body are left out, because they have codes, secrets and signatures.
                at = datetime.now(UTC).isoformat(timespec="milliseconds")
                outcome = _outcome(reply)
                entry = {"at": at, "service": service, "path": request.path, "outcome": outcome}
                self.log.append(entry)
                return reply
        return json_reply({"detail": "the simulator does not play this"}, 404)

    def _show_log(self, _request: EmptyRequest) -> dict[str, Any]:
        return {"items": list(self.log)}

    def _pay(self, request: PhonePayRequest) -> dict[str, Any]:
        """Pay an order as the user of a phone; `why` is the field that WeChat rejects."""
        if request.outcome == "cancel":
            return {"outcome": "cancel", "order": None, "why": ""}
        provider = self.xpay if "signData" in request.content else self.pay
        paid = provider.pay(request.content, request.report)
        if isinstance(paid, str):
            return {"outcome": "failed", "order": None, "why": paid}
        number, notification = paid
        self.delivery.start(notification, request.report)
        return {"outcome": "success", "order": number, "why": ""}

    def _set_outage(self, request: OutageRequest) -> dict[str, Any]:
        self.outage.pop(request.service, None)
        outage = request.seconds if request.status is None else request.status
        if outage is not None:
            self.outage[request.service] = outage
        return {"outage": self.outage}


def _outcome(reply: SimulatorReply) -> str:
    """Return the service's own error code, which its HTTP status may hide."""
    content = json.loads(reply.body) if reply.body.startswith(b"{") else {}
    error = content.get("Response", {}).get("Error", {})
    code = (
        content.get("errcode")
        or content.get("ErrorCode")
        or content.get("code")
        or error.get("Code")
    )
    return str(code) if code else ("ok" if reply.status in (200, 204) else f"HTTP {reply.status}")
