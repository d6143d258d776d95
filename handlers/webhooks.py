"""Webhooks of Tencent and WeChat: each message is stored before it is processed.

Gold is credited only by the notifications of payments and by the order query.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, NoReturn
from urllib.parse import parse_qsl, urlencode

import structlog
from pydantic import ConfigDict, RootModel
from pydantic.alias_generators import to_pascal

from core.errors import RateLimited
from handlers.base import BODY_BYTES, Handler, endpoint
from handlers.errors import CallbackRefused, PayloadTooLarge
from handlers.request_data import limit_key
from handlers.schemas.responses import NoContentResponse, Response, TextResponse
from services.jobs import inbox
from services.jobs.inbox import CallbackOutcome, refused
from services.payments.payment_notifications import message_of
from storage.jobs.inbox import InboxMessage
from tencent.callbacks import CallbackEvent, parse_css_callback, parse_im_callback
from tencent.errors import ServiceUnavailable
from tencent.json_reader import ParsedCallback
from tencent.message_push import ATTENTION, REFUND_QUESTION, event_name
from tencent.notifications import JSAPI, TRANSFER, MerchantNotifications

log = structlog.get_logger("qlive.webhooks")


class WebhookHandler(Handler):
    """Base of all webhooks; answers 503 while MongoDB is down, so that the sender retries."""

    admission_errors = (CallbackRefused, RateLimited)

    def parameters(self) -> dict[str, Any]:
        """Empty: the raw body is stored even if it cannot be parsed. Raises PayloadTooLarge."""
        if self._body_size > BODY_BYTES:
            self.limit_address("anonymous")
            raise PayloadTooLarge
        return {}

    def refuse(self) -> NoReturn:
        """Refuse a callback of a service that is not configured here."""
        self.limit_address("anonymous")
        raise CallbackRefused

    async def receive(
        self,
        message: InboxMessage,
        rejection: str,
        carry_out: Callable[[], Awaitable[CallbackOutcome]],
    ) -> None:
        """Store the message and carry it out, unless that was done; CallbackRefused if refused.

        `rejection` is the reason code of a message that failed verification, otherwise "". Such
        messages count for their address, which limits how many of them are stored. The metrics
        count refusals by source and reason.
        """
        address = limit_key(self.remote_ip)
        if rejection:
            self.limit_address("anonymous")
        limit = self.context.refused_callback_limit
        if rejection and limit.take(address, time.monotonic()):
            result: CallbackOutcome | None = refused(rejection)
        else:
            result = await inbox.receive(self.context.stores.inbox, message, rejection, carry_out)
        if result is None:
            return
        if result.event:
            self._report_event(result.event)
        structlog.contextvars.bind_contextvars(callback=result.reason or result.outcome)
        if result.outcome == "refused":
            self.context.metrics.callbacks_refused.labels(message.source, result.reason).inc()
            raise CallbackRefused

    def _report_event(self, event: str) -> None:
        """Count an event of WeChat; one on which a person has to act is an error in the log."""
        self.context.metrics.platform_events.labels(event).inc()
        report = log.error if event in ATTENTION else log.info
        report("platform_event_received", platform_event=event)

    def message(self, source: str, id_: str, query: str = "") -> InboxMessage:
        return InboxMessage(source, id_, query, self.body.decode(errors="replace"))

    @property
    def query(self) -> dict[str, str]:
        """Decoded query; bytes that are not UTF-8 become U+FFFD, which matches no signature."""
        return dict(parse_qsl(self.request.query, keep_blank_values=True))

    @property
    def body(self) -> bytes:
        return bytes(self._body)


class ImAckResponse(Response):
    """The reply that IM requires; it treats any other as a failure."""

    model_config = ConfigDict(alias_generator=to_pascal)

    action_status: str = "OK"
    error_info: str = ""
    error_code: int = 0


class CssAckResponse(Response):
    code: int = 0


class TencentWebhookHandler(WebhookHandler):
    """Base of the webhooks of IM and CSS."""

    async def receive_callback(self, source: str, callback: ParsedCallback[CallbackEvent]) -> None:
        """Store a callback and carry it out; CallbackRefused if it is not verified."""
        unsigned = {name: value for name, value in self.query.items() if name != "Sign"}
        message = self.message(source, callback.id, urlencode(unsigned))
        carry_out = partial(self.context.services.callbacks.carry_out, callback)
        await self.receive(message, callback.refused, carry_out)


class ImWebhookHandler(TencentWebhookHandler):
    """Webhook of IM; enter this URL in its console, as https and with authentication on, for user
    status, and for members and dissolution of groups."""

    @endpoint()
    async def post(self) -> ImAckResponse:
        im = self.context.settings.im
        now = time.time()
        await self.receive_callback(
            "im", parse_im_callback(self.query, self.body, im.callback_token, im.sdk_app_id, now)
        )
        return ImAckResponse()


class CssWebhookHandler(TencentWebhookHandler):
    """Webhook of CSS; enter this URL in a callback template, for stream start and stream end."""

    @endpoint()
    async def post(self) -> CssAckResponse:
        key = self.context.settings.live.callback_key
        await self.receive_callback("live", parse_css_callback(self.body, key, time.time()))
        return CssAckResponse()


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


class MerchantWebhookHandler(WebhookHandler):
    """Base of the webhooks of WeChat Pay API v3; any other answer than 204 makes it retry."""

    async def receive_notification(
        self,
        source: str,
        notifications: MerchantNotifications[Any] | None,
        book: Callable[[Any, str], Awaitable[CallbackOutcome]],
    ) -> NoContentResponse:
        """Store a notification and book its event; refused if no merchant is configured."""
        if notifications is None:
            self.refuse()
        found = notifications.read(self.request.headers, self.body, time.time())
        message = self.message(source, found.id)
        await self.receive(message, found.refused, partial(book, found.event, found.ignored))
        return NoContentResponse()


class JsapiWebhookHandler(MerchantWebhookHandler):
    """Payments and refunds; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.jsapi
        return await self.receive_notification(
            JSAPI,
            client.notifications if client else None,
            self.context.services.payment_notifications.book,
        )


class TransferWebhookHandler(MerchantWebhookHandler):
    """Final states of transfers; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.transfers
        return await self.receive_notification(
            TRANSFER,
            client.notifications if client else None,
            self.context.services.transfers.book,
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
        stored = await self.context.stores.inbox.stored(message)
        advice = RefundAdviceResponse.model_validate(stored.get("answer"))
        reply = self.context.tencent.message_push.encrypt(advice.model_dump_json(), time.time())
        return EncryptedReplyResponse.model_validate(reply) if reply else advice
