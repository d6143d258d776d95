"""Webhooks of WeChat Pay and of virtual payment.

Gold is credited only by the notifications of payments and by the order query.
"""

import time
from functools import partial
from typing import Literal

from pydantic import ConfigDict, RootModel
from pydantic.alias_generators import to_pascal

from handlers.base import endpoint
from handlers.models import NoContentResponse, Response, TextResponse
from handlers.webhook_base import MerchantWebhookHandler, WebhookHandler
from services.payments.payment_notifications import message_of
from storage.jobs.inbox import InboxMessage
from tencent.errors import ServiceUnavailable
from tencent.message_push import MEDIA_CHECKED, REFUND_QUESTION, event_name
from tencent.pay import JSAPI


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

    model_config = ConfigDict(alias_generator=to_pascal)

    encrypt: str
    msg_signature: str
    time_stamp: int
    nonce: str


class XpayReplyResponse(RootModel[XpayAckResponse | RefundAdviceResponse | EncryptedReplyResponse]):
    """The acknowledgement, or the answer to a question: encrypted in safe mode."""


class JsapiWebhookHandler(MerchantWebhookHandler):
    """Payments and refunds; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.jsapi
        return await self.receive_notification(
            JSAPI,
            client.notifications if client else None,
            self.context.services.payments.notifications.record,
        )


class XpayWebhookHandler(WebhookHandler):
    @endpoint()
    async def get(self) -> EchoResponse:
        """URL verification by the WeChat console, which expects `echostr` in return."""
        echo = self.context.tencent.message_push.verify_url(self.query, time.time())
        if echo is None:
            self.refuse()
        return EchoResponse(text=echo)

    @endpoint(errors=[ServiceUnavailable("wechat"), ServiceUnavailable("pay")])
    async def post(self) -> XpayReplyResponse:
        """Message push of the mini-program.

        Virtual payment, penalties, withdrawn consent, and checks of pictures.
        """
        context = self.context
        push = context.tencent.message_push.open(self.query, self.body, time.time())
        message = message_of(push, self.query, self.body)
        handle = partial(context.services.payments.notifications.process_push, push)
        if push.content.get("Event") == MEDIA_CHECKED:
            handle = partial(context.services.decisions.receive, push.content)
        await self.receive(message, push.refused, handle)
        if event_name(push.content) != REFUND_QUESTION:
            return XpayReplyResponse(XpayAckResponse())
        return XpayReplyResponse(await self._advice(message))

    async def _advice(self, message: InboxMessage) -> RefundAdviceResponse | EncryptedReplyResponse:
        """Return the stored answer to Apple's question, the same each time it is asked."""
        stored = await self.context.stores.inbox.stored(message)
        advice = RefundAdviceResponse.model_validate(stored.get("answer"))
        reply = self.context.tencent.message_push.encrypt(advice.model_dump_json(), time.time())
        return EncryptedReplyResponse.model_validate(reply) if reply else advice
