"""Webhooks of WeChat for payments, refunds and transfers to users.

Gold is credited only by these and by the order query.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

from pydantic import ConfigDict, RootModel
from pydantic.alias_generators import to_pascal

from handlers.base import endpoint
from handlers.schemas.responses import NoContentResponse, Response, TextResponse
from handlers.webhooks.base import WebhookHandler
from services.inbox import CallbackOutcome
from services.payment_notifications import message_of
from storage.inbox import InboxMessage
from tencent.errors import ServiceUnavailable
from tencent.message_push import REFUND_QUESTION, event_name
from tencent.notifications import JSAPI, TRANSFER, MerchantNotification


class EchoResponse(TextResponse):
    """The value of `echostr`."""


class XpayAckResponse(Response):
    model_config = ConfigDict(alias_generator=to_pascal)

    err_code: int = 0
    err_msg: str = "success"


class RefundAdviceResponse(Response):
    """The answer to Apple's question: `result_code` 0 suggests a refund, 1 a refusal."""

    result_code: Literal[0, 1]
    result_info: str
    evidence: str


class EncryptedReplyResponse(Response):
    """An answer in safe mode."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)

    encrypt: str
    msg_signature: str
    time_stamp: int
    nonce: str


class XpayReplyResponse(RootModel[XpayAckResponse | RefundAdviceResponse | EncryptedReplyResponse]):
    """The acknowledgement, or the answer to a question: encrypted in safe mode."""


class NoContentWebhookHandler(WebhookHandler):
    """Base of the webhooks that answer 204; any other status makes WeChat Pay retry."""

    async def receive_notification(
        self,
        source: str,
        notification: MerchantNotification[Any],
        carry_out: Callable[[], Awaitable[CallbackOutcome]],
    ) -> NoContentResponse:
        """Store a notification and carry it out, as `receive` does."""
        message = InboxMessage(source, notification.id, "", self.body.decode(errors="replace"))
        await self.receive(message, notification.refused, carry_out)
        return NoContentResponse()


class JsapiWebhookHandler(NoContentWebhookHandler):
    """Webhook of WeChat Pay API v3; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.jsapi
        if client is None:
            self.refuse()
        found = client.notifications.read(self.request.headers, self.body, time.time())
        book = self.context.services.payment_notifications.book
        return await self.receive_notification(
            JSAPI, found, partial(book, found.event, found.ignored)
        )


class TransferWebhookHandler(NoContentWebhookHandler):
    """Final states of transfers; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.transfers
        if client is None:
            self.refuse()
        found = client.notifications.read(self.request.headers, self.body, time.time())
        book = self.context.services.transfer_notices.book
        return await self.receive_notification(
            TRANSFER, found, partial(book, found.event, found.ignored)
        )


class XpayWebhookHandler(WebhookHandler):
    """Message push of the mini-program."""

    @endpoint()
    async def get(self) -> EchoResponse:
        """URL verification by the WeChat console, which expects `echostr` in return."""
        echo = self.context.tencent.message_push.verify_url(self.query, time.time())
        if echo is None:
            self.refuse()
        return EchoResponse(text=echo)

    @endpoint(errors=[ServiceUnavailable("wechat"), ServiceUnavailable("pay")])
    async def post(self) -> XpayReplyResponse:
        """Message push of the mini-program: virtual payment, penalties, withdrawn consent."""
        context = self.context
        push = context.tencent.message_push.open(self.query, self.body, time.time())
        message = message_of(push, self.query, self.body)
        process_push = context.services.payment_notifications.process_push
        await self.receive(message, push.refused, partial(process_push, push))
        if event_name(push.content) != REFUND_QUESTION:
            return XpayReplyResponse(XpayAckResponse())
        return XpayReplyResponse(await self._advice(message))

    async def _advice(self, message: InboxMessage) -> RefundAdviceResponse | EncryptedReplyResponse:
        """The stored answer to Apple's question, the same each time it is asked."""
        answer = await self.context.services.inbox.answer(message)
        advice = RefundAdviceResponse.model_validate(answer)
        reply = self.context.tencent.message_push.encrypt(advice.model_dump_json(), time.time())
        return EncryptedReplyResponse(**asdict(reply)) if reply else advice
