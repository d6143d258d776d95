"""Webhooks of Tencent: presence in IM, and streams of CSS."""

import time
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from pydantic import ConfigDict
from pydantic.alias_generators import to_pascal

from handlers.base import endpoint
from handlers.models import Response
from handlers.webhook_base import WebhookHandler
from services.chat.message_checks import refusal_code
from storage.jobs.inbox import InboxMessage
from tencent.callbacks import (
    BEFORE_MESSAGE,
    MESSAGE_SENT,
    CallbackEvent,
    CustomMessage,
    ProposedMessage,
    RecordingFailure,
    parse_css_callback,
    parse_im_callback,
)
from tencent.json_reader import ParsedCallback


class ImAckResponse(Response):
    """The reply that IM requires; it treats any other as a failure."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)

    action_status: str = "OK"
    error_info: str = ""
    error_code: int = 0


class CssAckResponse(Response):
    code: int = 0


class TencentWebhookHandler(WebhookHandler):
    """Base of the webhooks of IM and CSS."""

    async def receive_callback(self, source: str, callback: ParsedCallback[CallbackEvent]) -> None:
        """Store a callback and carry it out; CallbackRefused if it is not verified.

        Of CSS's reports, only those of failed recordings are stored with their content: what is
        said in a stream is in its item, which moderators read, and the rest names addresses.
        """
        unsigned = {name: value for name, value in self.query.items() if name != "Sign"}
        message = self.message(source, callback.id, urlencode(unsigned))
        needs_content = callback.refused or isinstance(callback.event, RecordingFailure)
        if source == "live" and not needs_content:
            message = replace(message, raw="")
        carry_out = partial(self.context.services.callbacks.carry_out, callback)
        await self.receive(message, callback.refused, carry_out)


class ImWebhookHandler(TencentWebhookHandler):
    """Webhook of IM; enter this URL in its console, as https and with authentication on, for user
    status, for members and dissolution of groups, before a message in a group and between two
    users, and after one between two users."""

    @endpoint()
    async def post(self) -> ImAckResponse:
        im = self.context.settings.im
        now = time.time()
        callback = parse_im_callback(self.query, self.body, im.callback_token, im.sdk_app_id, now)
        command = self.query.get("CallbackCommand")
        if isinstance(callback.event, ProposedMessage):
            return await self._check_message(callback.event)
        if command == MESSAGE_SENT or command in BEFORE_MESSAGE:
            await self._receive_message(callback)
        else:
            await self.receive_callback("im", callback)
        return ImAckResponse()

    async def _check_message(self, message: ProposedMessage) -> ImAckResponse:
        """Allow or refuse a message before IM sends it; IM sends it after any other answer."""
        refusal = await self.context.services.message_checks.check(message)
        if refusal is None:
            return ImAckResponse()
        self.context.metrics.messages_refused.labels(refusal).inc()
        code = refusal_code(refusal, in_group=bool(message.group_id))
        return ImAckResponse(error_code=code, error_info=refusal)

    async def _receive_message(self, callback: ParsedCallback[CallbackEvent]) -> None:
        """Private messages are never stored."""
        if isinstance(callback.event, CustomMessage):
            await self.context.services.callbacks.admit(callback.event)
        elif callback.refused:
            carry_out = partial(self.context.services.callbacks.carry_out, callback)
            await self.receive(InboxMessage("im", callback.id, "", ""), callback.refused, carry_out)


class CssWebhookHandler(TencentWebhookHandler):
    """Webhook of CSS; enter this URL in a callback template, for stream start and stream end,
    moderation of pictures and of sound, and the state of recordings."""

    @endpoint()
    async def post(self) -> CssAckResponse:
        key = self.context.settings.live.callback_key
        await self.receive_callback("live", parse_css_callback(self.body, key, time.time()))
        return CssAckResponse()
