"""Bases of the callbacks: each message is stored before it is processed."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import structlog

from core.errors import RateLimited
from handlers.base import MAX_BODY_BYTES, Handler
from handlers.errors import CallbackRefused, PayloadTooLarge
from handlers.models import NoContentResponse
from handlers.request_data import limit_key
from storage.jobs.inbox import CallbackOutcome, InboxMessage, refused
from tencent.message_push import ATTENTION
from tencent.pay import JsapiClient
from tencent.transfers import TransferClient

log = structlog.get_logger("qlive.callbacks")


class CallbackHandler(Handler):
    """Base of all callbacks; answers 503 while MongoDB is down, so that the sender retries."""

    authorization_errors = (CallbackRefused, RateLimited)

    def parameters(self) -> dict[str, Any]:
        """Empty: the raw body is stored even if it cannot be parsed. Raises PayloadTooLarge."""
        if self._body_size > MAX_BODY_BYTES:
            self.limit_address("anonymous")
            raise PayloadTooLarge
        return {}

    def note_arrival(self, source: str, kind: str | None) -> None:
        """Note what has arrived, whatever the answer; None for a wrong signature."""
        if kind is not None:
            self.context.services.arrivals.note(source, kind)

    def refuse(self) -> NoReturn:
        """Refuse a callback of a service that is not configured here."""
        self.limit_address("anonymous")
        raise CallbackRefused

    async def receive(
        self,
        message: InboxMessage,
        rejection: str,
        handle: Callable[[], Awaitable[CallbackOutcome]],
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
            result = await self.context.stores.inbox.process(message, rejection, handle)
        if result is None:
            return
        if result.event:
            self.context.metrics.platform_events.labels(result.event).inc()
            # An error, if a person has to act on it.
            report = log.error if result.event in ATTENTION else log.info
            report("platform_event_received", platform_event=result.event)
        structlog.contextvars.bind_contextvars(callback=result.reason or result.outcome)
        if result.outcome == "refused":
            self.context.metrics.refused.callbacks.labels(message.source, result.reason).inc()
            raise CallbackRefused

    def message(self, source: str, id_: str, query: str = "") -> InboxMessage:
        return InboxMessage(source, id_, query, self.body.decode(errors="replace"))

    @property
    def query(self) -> dict[str, str]:
        """Decoded query; bytes that are not UTF-8 become U+FFFD, which matches no signature."""
        return dict(parse_qsl(self.request.query, keep_blank_values=True))

    @property
    def body(self) -> bytes:
        return bytes(self._body)


class MerchantCallbackHandler(CallbackHandler):
    """Base of the notifications of WeChat Pay API v3; any other answer than 204 makes it retry."""

    async def receive_notification(
        self,
        source: str,
        client: JsapiClient | TransferClient | None,
        record: Callable[[Any, str], Awaitable[CallbackOutcome]],
    ) -> NoContentResponse:
        """Store a notification and record its event; refused if no merchant is configured."""
        if client is None:
            self.refuse()
        found = client.notifications.read(self.request.headers, self.body, time.time())
        self.note_arrival("notification", found.kind)
        message = self.message(source, found.id)
        await self.receive(message, found.refused, partial(record, found.event, found.ignored))
        return NoContentResponse()
