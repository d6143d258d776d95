"""Simulated events of WeChat that move no gold, and Apple's questions with the answers to them."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from devtools.simulator.notifications import (
    SimulatedDelivery,
    SimulatedPushes,
    post_notification,
)
from devtools.simulator.requests import PlatformEventRequest

REFUND_QUESTION = "xpay_subscribe_ios_refund_query_notify"
QUESTION_SECONDS, MAX_QUESTIONS = 3.0, 3
Content = Mapping[str, Any]


@dataclass(slots=True)
class SentEvent:
    """A delivery of an event; `answer` is the decrypted and verified reply to Apple's question."""

    event: str
    status: int
    answer: dict[str, Any] | None = None


class SimulatedPlatformEvents:
    """Sends each event once, twice, late, or so that it cannot be verified."""

    def __init__(
        self,
        pushes: SimulatedPushes,
        delivery: SimulatedDelivery,
        app_id: str,
        now: Callable[[], float],
    ) -> None:
        self.sent: list[SentEvent] = []
        self.delivery = delivery
        self._pushes = pushes
        self._app_id = app_id
        self._now = now

    def start(self, request: PlatformEventRequest) -> dict[str, Any]:
        """Send an event in the way of `report`. Raises ValueError for an unknown event."""
        events = self.contents(request.order, request.openid)
        if request.event not in events:
            raise ValueError(f"event: one of {', '.join(events)}")
        content, mode = events[request.event], request.report
        self.delivery.run(partial(self._send_as, content, mode), mode)
        return {"outcome": "success"}

    async def _send_as(self, content: Content, mode: str) -> None:
        for attempt in range(2 if mode == "twice" else 1):
            again = {**content, "RetryTimes": attempt} if "RetryTimes" in content else content
            await self._send(again, mode)

    async def _send(self, content: Content, mode: str) -> None:
        """Deliver an event; ask a question up to three times, until it is answered in time."""
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
        now, unique = int(self._now()), secrets.token_hex(8)
        consent = {"OpenID": openid, "AppID": self._app_id, "RevokeInfo": "6"}
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
                "AppId": self._app_id,
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
                "appid": self._app_id,
                "punish_time": now,
                "illegal_reason": "违规内容",
                "detail": '{"warned_type": 2, "warned_ban_days": [7]}',
            },
            "user_authorization_revoke": consent,
            "user_authorization_cancellation": consent,
        }
        return {name: self._pushes.event(name, openid, fields) for name, fields in events.items()}
