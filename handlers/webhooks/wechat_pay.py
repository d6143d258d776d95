"""Webhooks of WeChat for payments and refunds.

Gold is credited only by these and by the order query.
"""

import json
import time
from functools import partial
from hashlib import sha256
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from handlers.base import endpoint
from handlers.errors import CallbackRefused
from handlers.schemas.responses import Response
from handlers.webhooks.base import WebhookHandler
from services.payment_notifications import ENCRYPTED
from storage.inbox import InboxMessage
from tencent.errors import ServiceUnavailable
from tencent.message_push import MessagePush
from tencent.pay_notifications import PROVIDER as JSAPI
from tencent.xpay import DELIVERED, REFUNDED
from tencent.xpay import PROVIDER as XPAY

IDENTITY_FIELDS = {
    DELIVERED: ("Event", "OutTradeNo"),
    REFUNDED: ("Event", "WxRefundId", "RetCode"),  # a failed refund may succeed later
}


class NoContentResponse(Response):
    """HTTP 204 without a body."""


class EchoResponse(Response):
    text: str


class XpayAckResponse(Response):
    model_config = ConfigDict(alias_generator=to_pascal)

    err_code: int = 0
    err_msg: str = "success"


class JsapiWebhookHandler(WebhookHandler):
    """Webhook of WeChat Pay API v3; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        context = self.context
        if context.tencent.jsapi is None:
            raise CallbackRefused
        notification = context.tencent.jsapi.notifications.read(
            self.request.headers, self.body, time.time()
        )
        message = InboxMessage(JSAPI, notification.id, "", self.body.decode(errors="replace"))
        book = context.services.payment_notifications.book
        await self.receive(
            message,
            notification.refused,
            partial(book, notification.event, notification.ignored),
        )
        return NoContentResponse()

    def write_model(self, answer: BaseModel) -> None:  # noqa: ARG002 - the body is empty
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()


class XpayWebhookHandler(WebhookHandler):
    """Message push of the mini-program; only virtual payment events are processed."""

    @endpoint()
    async def get(self) -> EchoResponse:
        """URL verification by the WeChat console, which expects `echostr` in return."""
        echo = self.context.tencent.message_push.verify_url(self.query, time.time())
        if echo is None:
            raise CallbackRefused
        return EchoResponse(text=echo)

    @endpoint(errors=[ServiceUnavailable("wechat"), ServiceUnavailable("pay")])
    async def post(self) -> XpayAckResponse:
        context = self.context
        push = context.tencent.message_push.open(self.query, self.body, time.time())
        unsigned = {name: value for name, value in self.query.items() if "signature" not in name}
        if push.refused:
            message_id = raw = self.body.decode(errors="replace")
        else:
            message_id = _message_id(push)
            raw = json.dumps(push.content, ensure_ascii=False)
        # Overrides a parameter of that name in the request.
        encrypted = {"sealed": ENCRYPTED if push.encrypted else "no"}
        message = InboxMessage(XPAY, message_id, urlencode(unsigned | encrypted), raw)
        process_push = context.services.payment_notifications.process_push
        await self.receive(message, push.refused, partial(process_push, push))
        return XpayAckResponse()

    def write_model(self, answer: BaseModel) -> None:
        if isinstance(answer, EchoResponse):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(answer.text)
        else:
            super().write_model(answer)


def _message_id(push: MessagePush) -> str:
    """Deduplication key, equal for every retry: WeChat's message identity and a content hash.

    With the hash, a message of other content cannot block the genuine one.
    """
    content = push.content
    names = IDENTITY_FIELDS.get(str(content.get("Event")), ("Event", "FromUserName", "CreateTime"))
    identity = ":".join(str(content.get(name, "")) for name in names)
    return f"{identity}:{sha256(repr(content).encode()).hexdigest()}"
