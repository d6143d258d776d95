"""The simulator's router, its switches for bad days, and its log."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

from tencent.simulator.access import Access
from tencent.simulator.codes import Codes
from tencent.simulator.im import Im
from tencent.simulator.live import Live
from tencent.simulator.pay import Pay
from tencent.simulator.payer import Payer
from tencent.simulator.phone import Phone
from tencent.simulator.reports import Notices, Pushes
from tencent.simulator.sns import Sns
from tencent.simulator.wire import SimReply, SimRequest, bad_request, json_reply
from tencent.simulator.xpay import XPay

SERVICES = ("wechat", "im", "pay", "live")
LOGGED = 200

Answer = Callable[[SimRequest], SimReply]


class Simulator:
    """WeChat, Tencent IM, WeChat Pay and CSS in one process; a restart forgets everything.

    `outage` maps a service to an HTTP status (int) that it answers or to seconds (float) by
    which it is late.
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
        push_to: str,
        sandbox: bool = False,
        now: Callable[[], float] = time,
    ) -> None:
        """`apps` maps an appId to its secret, keys are PEM text, `now` gives unix seconds."""
        codes = Codes(now)
        self.outage: dict[str, float | int] = {}
        self.log: deque[dict[str, str]] = deque(maxlen=LOGGED)
        self.im = Im(sdk_app_id, im_key, im_admin, now)
        self.pay = Pay(
            apps,
            mchid,
            merchant_serial,
            merchant_public_key,
            platform_key_id,
            platform_private_key,
            now,
        )
        self.live = Live(live_secret_id, live_secret_key, now)
        self.access = Access(apps, now)
        self.xpay = XPay(self.access, codes, offer_id, app_key, int(sandbox), now)
        notices = Notices(apiv3_key, self.pay.signed, now)
        pushes = Pushes(push_token, push_aes_key, next(iter(apps), ""), now)
        self.payer = Payer(self.pay, self.xpay, notices, pushes, push_to)
        phone, sns = Phone(apps, codes, now), Sns(apps, codes)
        self._routes: list[tuple[str, str, str, Answer]] = [
            # method, path, service, who answers; a service judges the method itself
            ("POST", r"/phone/login", "", phone.login),
            ("POST", r"/phone/pay", "", self.payer.answer),
            (".*", r"/sns/jscode2session", "wechat", sns.jscode2session),
            (".*", r"/v4/.*", "im", self.im.answer),
            (".*", r"/v3/pay/transactions/jsapi", "pay", self.pay.jsapi),
            (".*", r"/v3/pay/transactions/out-trade-no/.*", "pay", self.pay.one_order),
            (".*", r"/cgi-bin/stable_token", "wechat", self.access.stable_token),
            (".*", r"/xpay/.*", "wechat", self.xpay.answer),
            (".*", r"/live/?", "live", self.live.answer),
            ("GET", r"/log", "", self._show_log),
            ("POST", r"/outage", "", self._set_outage),
        ]

    async def answer(self, request: SimRequest) -> SimReply:
        """Never raises for a bad request; waits only during an outage that says so."""
        for method, path, service, answers in self._routes:
            if re.fullmatch(method, request.method) and re.fullmatch(path, request.path):
                if not service:
                    return answers(request)
                reply = await self._bad_day(service) or answers(request)
                self._note(service, request, reply)
                return reply
        return json_reply({"detail": "the simulator does not play this"}, 404)

    async def _bad_day(self, service: str) -> SimReply | None:
        trouble = self.outage.get(service)
        if isinstance(trouble, int):
            return json_reply({"detail": f"{service} plays an outage"}, trouble)
        if trouble is not None:
            await asyncio.sleep(trouble)
        return None

    def _note(self, service: str, request: SimRequest, reply: SimReply) -> None:
        # Neither query nor body: they hold codes, secrets and signatures.
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"at": at, "service": service, "path": request.path, "outcome": _outcome(reply)}
        self.log.append(entry)

    def _show_log(self, _request: SimRequest) -> SimReply:
        return json_reply({"items": list(self.log)})

    def _set_outage(self, request: SimRequest) -> SimReply:
        """`{service, status | seconds}`; neither lifts it."""
        wish: dict[str, Any] = request.json_object() or {}
        service, status, seconds = wish.get("service"), wish.get("status"), wish.get("seconds")
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


def _outcome(reply: SimReply) -> str:
    """The service's own number or word for it, which its HTTP status may hide."""
    content = json.loads(reply.body or b"{}")
    error = content.get("Response", {}).get("Error", {})
    word = (
        content.get("errcode")
        or content.get("ErrorCode")
        or content.get("code")
        or error.get("Code")
    )
    return str(word) if word else ("ok" if reply.status in (200, 204) else f"HTTP {reply.status}")
