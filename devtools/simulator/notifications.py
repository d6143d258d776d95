"""Simulated notifications: their delivery, message pushes, and events that move no gold."""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from devtools.simulator.requests import PlatformEventRequest, Report
from tencent.message_push import MessagePushReader

HOUR = 3600
LATE_SECONDS = 3.0
MAX_ATTEMPTS, RETRY_DELAY_SECONDS = 5, 0.5
JSON_HEADERS = {"Content-Type": "application/json"}
REFUND_QUESTION = "xpay_subscribe_ios_refund_query_notify"
QUESTION_SECONDS, MAX_QUESTIONS = 3.0, 3

Content = Mapping[str, Any]


class SimulatedDelivery:
    """Delivers notifications in the background; tests use `statuses`, the HTTP answers."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, notification: HTTPRequest, mode: Report) -> None:
        """Deliver once, never, twice or late, without waiting for it."""
        self.run(lambda _attempt: self._send(notification), mode)

    def run(
        self, work: Callable[[int], Coroutine[Any, Any, object]], mode: Report = "once"
    ) -> None:
        """Run `work`, which is given 0 and then 1, in the background; `quiet` waits for it."""

        async def run() -> None:
            if mode == "late":
                await asyncio.sleep(LATE_SECONDS)
            for attempt in range(2 if mode == "twice" else 1):
                await work(attempt)

        if mode != "never":
            task = asyncio.get_running_loop().create_task(run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def quiet(self) -> None:
        """Wait until every notification has been answered, and those that it caused."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(0)  # a task that has just ended leaves the set in the next step

    async def _send(self, notification: HTTPRequest) -> None:
        """Retry while the server fails, for a shorter time than WeChat does."""
        for _ in range(MAX_ATTEMPTS):
            status, _body = await post_notification(notification)
            self.statuses.append(status)
            if status < 300 or 400 <= status < 500:
                return
            await asyncio.sleep(RETRY_DELAY_SECONDS)


@dataclass(eq=False)
class SimulatedPushes:
    """Builds message pushes of a mini-program to `address`; `aes_key` is "" in plain mode."""

    address: str
    _token: str
    aes_key: str
    app_id: str
    now: Callable[[], float]

    def report(self, content: Mapping[str, Any], mode: str, address: str = "") -> HTTPRequest:
        """Build a push, which is genuine unless `mode` is one of Unverifiable."""
        text, now = json.dumps(content, ensure_ascii=False), self.now()
        pushes = self._protocol("a guess" if mode == "forged" else self._token)
        at = int(now - (HOUR if mode == "stale" else 0))
        encrypted = pushes.encrypt(text, at)
        nonce = str(encrypted["Nonce"] if encrypted else secrets.randbelow(10**9))
        query = {"timestamp": str(at), "nonce": nonce, "signature": pushes.sign(str(at), nonce)}
        if encrypted:
            query |= {"encrypt_type": "aes", "msg_signature": str(encrypted["MsgSignature"])}
            envelope = {"ToUserName": content.get("ToUserName"), "Encrypt": encrypted["Encrypt"]}
            text = json.dumps(envelope)
        if mode in ("unsigned", "probe"):  # WeChat probes notifications only, not pushes
            query |= {name: "" for name in query if "signature" in name}
        url = f"{address or self.address}?{urlencode(query)}"
        return HTTPRequest(url, "POST", JSON_HEADERS, text.encode())

    def event(self, name: str, openid: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of an event: `fields` follow those that all events have."""
        return {
            "ToUserName": "gh_simulator",
            "FromUserName": openid,
            "CreateTime": int(self.now()),
            "MsgType": "event",
            "Event": name,
            **fields,
        }

    def open_reply(self, body: bytes) -> dict[str, Any] | None:
        """Return the content of a reply; None if not encrypted and signed as the mode requires."""
        try:
            reply = json.loads(body)
        except ValueError:
            return None
        if not self.aes_key:
            return dict(reply)
        query = {
            "encrypt_type": "aes",
            "msg_signature": str(reply.get("MsgSignature")),
            "timestamp": str(reply.get("TimeStamp")),
            "nonce": str(reply.get("Nonce")),
        }
        opened = self._protocol(self._token).open(query, body, self.now())
        return None if opened.refused else dict(opened.content)

    def _protocol(self, token: str) -> MessagePushReader:
        """Return the protocol, which is the same in both directions."""
        return MessagePushReader(token, self.aes_key, self.app_id)


async def post_notification(request: HTTPRequest, seconds: float = 5.0) -> tuple[int, bytes]:
    """Return the HTTP status and body; 599 and no body if the request failed or timed out."""
    request.request_timeout = seconds
    try:
        response = await AsyncHTTPClient().fetch(request, raise_error=False)
    except (HTTPClientError, OSError):
        return 599, b""
    return int(response.code), response.body or b""


@dataclass(slots=True)
class SentEvent:
    """A delivery of an event; `answer` is the decrypted and verified reply to Apple's question."""

    event: str
    status: int
    answer: dict[str, Any] | None = None


@dataclass(eq=False)
class SimulatedPlatformEvents:
    """Sends each event once, twice, late, or so that it cannot be verified."""

    _pushes: SimulatedPushes
    delivery: SimulatedDelivery
    sent: list[SentEvent] = field(default_factory=list)

    def start(self, request: PlatformEventRequest) -> dict[str, Any]:
        """Send an event in the way of `report`. Raises ValueError for an unknown event."""
        events = self.contents(request.order, request.openid)
        if request.event not in events:
            raise ValueError(f"event: one of {', '.join(events)}")
        content, mode = events[request.event], request.report
        self.delivery.run(partial(self._send, content, mode), mode)
        return {"outcome": "success"}

    async def _send(self, content: Content, mode: str, attempt: int) -> None:
        """Deliver an event; ask a question up to three times, until it is answered in time."""
        if "RetryTimes" in content:
            content = {**content, "RetryTimes": attempt}
        is_question = content["Event"] == REFUND_QUESTION
        for _ in range(MAX_QUESTIONS if is_question else 1):
            push = self._pushes.report(content, mode)
            status, body = await post_notification(push, QUESTION_SECONDS if is_question else 5.0)
            answer = self._pushes.open_reply(body) if is_question and status == 200 else None
            self.sent.append(SentEvent(content["Event"], status, answer))
            if answer or status < 500:
                return

    def contents(self, order: str = "", openid: str = "oSimulated") -> dict[str, Content]:
        """Return the content of each event, about an order or a user."""
        app_id, now, unique = self._pushes.app_id, int(self._pushes.now()), secrets.token_hex(8)
        consent = {"OpenID": openid, "AppID": app_id, "RevokeInfo": "6"}
        events: dict[str, Content] = {
            REFUND_QUESTION: {
                "refund_time": str(now),
                "order_time": str(now),
                "channel_bill": unique,
                "bundleid": "com.tencent.xin",
                "product_id": "gold",
                "p_count": "1",
                "service_type": "unipdt",
                "refund_request_reason": "UNINTENDED_PURCHASE",
                "provide_status": "0",
                "consumption_status": "0",
                "pay_order_id": order,
            },
            "xpay_complaint_notify": {
                "OpenId": openid,
                "WxOrderId": unique,
                "MchOrderId": order,
                "ComplaintId": unique,
                "ComplaintDetail": "孩子误充值，要求退款",
                "ComplaintTime": now,
                "RetryTimes": 0,
                "RequestId": unique,
            },
            "xpay_coin_pay_notify": {
                "OpenId": openid,
                "OutTradeNo": order,
                "Env": 0,
                "CoinInfo": {"Quantity": 600, "OrigPrice": 6000, "ActualPrice": 6000, "Attach": ""},
            },
            "xpay_wxpay_callback_notify": {
                "AppId": app_id,
                "MerchantCode": "1900000110",
                "BusinessTime": now,
                "BusinessCode": unique,
                "BusinessState": "processing",
                "EventType": "punishment",
                "RetryTimes": 0,
            },
            "wxa_punish_event": {
                "event_type": 1,
                "punish_id": unique,
                "appid": app_id,
                "punish_time": now,
                "illegal_reason": "违规内容",
                "detail": '{"warned_type": 2, "warned_ban_days": [7]}',
            },
            "user_authorization_revoke": consent,
            "user_authorization_cancellation": consent,
        }
        return {name: self._pushes.event(name, openid, fields) for name, fields in events.items()}
