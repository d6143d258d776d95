"""Callbacks of Tencent: presence in IM, and streams of CSS."""

import time
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from pydantic import ConfigDict
from pydantic.alias_generators import to_pascal

from handlers.base import endpoint
from handlers.callback_base import CallbackHandler
from handlers.models import Response
from services.chat.message_checks import Refusal, refusal_code
from storage.jobs.inbox import IM, InboxMessage
from tencent.callbacks import (
    BEFORE_MESSAGE,
    GROUP_MESSAGE,
    MESSAGE_SENT,
    PROFILE_SET,
    CustomMessage,
    ImProfileSet,
    ProposedMessage,
    RecordingFailure,
    parse_im_callback,
    parse_live_streaming_callback,
)
from tencent.errors import Reason


class ImAckResponse(Response):
    """The reply that IM requires; it treats any other as a failure."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)

    action_status: str = "OK"
    error_info: str = ""
    error_code: int = 0


class LiveStreamingAckResponse(Response):
    code: int = 0


class ImCallbackHandler(CallbackHandler):
    """Callback of IM.

    Enter this URL in its console, as https and with authentication on, for user status, for members
    and dissolution of groups, before a message in a group and between two users, after one between
    two users, and after a change of a profile.
    """

    body_bytes = 256 * 1024
    """IM escapes what a user writes: 12 KB of control characters become 72 KB."""

    def parameters(self) -> dict[str, Any]:
        """Empty, also if the body is too long, which is then unreadable."""
        return {}

    @endpoint()
    async def post(self) -> ImAckResponse:
        query, im = self.query, self.context.settings.im
        service = self.context.services.rooms.callbacks
        now, command = time.time(), query.get("CallbackCommand", "")
        callback = parse_im_callback(query, self.body, im.callback_token, im.sdk_app_id, now)
        self.note_arrival("im", callback.kind)
        match callback.event:
            case ProposedMessage() as proposed:
                refusal = await self.context.services.chat.message_checks.check(proposed)
                return self._answer(refusal, command)
            case CustomMessage() as custom:
                await service.accept(custom)
            case ImProfileSet(user_id):  # another profile than the checked one
                payload = {"user_id": user_id}
                await self.context.stores.outbox.add_once("portrait_set", payload, user_id)
            case _ if command in BEFORE_MESSAGE and callback.refused == Reason.UNREADABLE:
                return self._answer("words", command)
            case _ if callback.refused or command not in (MESSAGE_SENT, PROFILE_SET):
                message = InboxMessage(IM, callback.id, urlencode({"CallbackCommand": command}), "")
                await self.receive(message, callback.refused, partial(service.handle, callback))
        return ImAckResponse()

    def _answer(self, refusal: Refusal | None, command: str) -> ImAckResponse:
        """Allow or refuse a message before IM sends it; IM sends it after any other answer."""
        if refusal is None:
            return ImAckResponse()
        self.context.metrics.refused.messages.labels(refusal).inc()
        code = refusal_code(refusal, in_group=command == GROUP_MESSAGE)
        return ImAckResponse(error_code=code, error_info=refusal)


class LiveStreamingCallbackHandler(CallbackHandler):
    """Callback of CSS.

    Enter this URL in a callback template, for stream start and stream end, moderation of pictures
    and of sound, and the state of recordings.
    """

    @endpoint()
    async def post(self) -> LiveStreamingAckResponse:
        key = self.context.settings.live_streaming.callback_key
        callback = parse_live_streaming_callback(self.body, key, time.time())
        self.note_arrival("live", callback.kind)
        message = self.message("live", callback.id)
        if not (callback.refused or isinstance(callback.event, RecordingFailure)):
            # What is said in a stream is in its item, for moderators; the rest names addresses.
            message = replace(message, raw="")
        handle = partial(self.context.services.rooms.callbacks.handle, callback)
        await self.receive(message, callback.refused, handle)
        return LiveStreamingAckResponse()
