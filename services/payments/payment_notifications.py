"""Notifications of WeChat: payments and refunds, and events that move no gold."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from core.errors import InvalidParameter, NotFound, TryAgain
from ledger.errors import RefusalReason, ReportRefused
from ledger.recharge import IOS, Payment, Refund
from ledger.refund_advice import advise
from services.payments.payments import PaymentService
from storage.jobs.inbox import DONE, CallbackOutcome, InboxMessage, ignored, refused
from storage.stores import Stores
from tencent.errors import NotVerified, Unreadable
from tencent.json_reader import text
from tencent.message_push import (
    COIN_PAYMENT,
    DELETION_EVENTS,
    MEDIA_CHECKED,
    PLATFORM_EVENT_IDENTITIES,
    REFUND_QUESTION,
    MessagePush,
    event_name,
    is_deletion,
)
from tencent.pay import JSAPI, JsapiClient
from tencent.transfers import TRANSFER
from tencent.xpay import DELIVERED, REFUNDED, XpayClient, parse_event
from tencent.xpay import PROVIDER as XPAY

SOURCES = (JSAPI, XPAY, TRANSFER)
"""Sources of the inbox that report money."""
RECORDED = DONE._replace(lasting=True)
"""Outcome of a report of money that is kept permanently."""
IDENTITY_FIELDS = {
    DELIVERED: ("Event", "OutTradeNo"),
    REFUNDED: ("Event", "WxRefundId", "RetCode"),  # a failed refund may succeed later
    MEDIA_CHECKED: ("Event", "trace_id"),
    **PLATFORM_EVENT_IDENTITIES,
}
PER_DELIVERY_FIELDS = ("CreateTime", "RetryTimes", "RequestId")
"""Fields that may differ between deliveries of one event."""
COIN_MODE = "coin_mode"
"""Refusal reason of a payment for WeChat's own coins, since only our ledger keeps gold."""
ENCRYPTED = "yes"
"""Stored value of `encrypted` for an encrypted push."""


class Followers(NamedTuple):
    """Services of other nouns that follow notifications of payments."""

    apply_to_case: Callable[[Refund], Awaitable[bool]]
    """Close the step of a refund case that waits for this refund; return whether there is one."""
    record_transfer: Callable[[str], Awaitable[CallbackOutcome]]
    """Record a stored notification of a transfer again."""
    plan_deletion: Callable[[str, str], Awaitable[None]]
    """Delete the data of a user who leaves, by app and openid."""


@dataclass
class PaymentNotificationService:
    """Credits payments and reverses refunds that WeChat reports.

    Gold is credited only by these notifications and by the order query.
    """

    _stores: Stores
    _payments: PaymentService
    _followers: Followers
    _jsapi: JsapiClient | None
    _xpay: XpayClient

    async def record(
        self, payment_event: Payment | Refund | None, ignore_reason: str
    ) -> CallbackOutcome:
        """Credit a payment or reverse a refund; None is ignored, with the reason `ignore_reason`.

        A refund that a case requested was reversed before; it closes the step of the case. Raises
        TryAgain for a refund whose payment is not credited yet.
        """
        if payment_event is None:
            return ignored(ignore_reason)
        try:
            if isinstance(payment_event, Payment):
                await self._payments.credit(payment_event)
            else:
                await self._payments.refund(payment_event)
        except ReportRefused as refusal:
            reason = refusal.reason
            if isinstance(payment_event, Refund):
                if reason == RefusalReason.NOT_PAID:
                    raise TryAgain from None  # the payment's notification may be on its way
                # A refund case has already taken back the rest of the order, so its own refund
                # exceeds what can still be recorded.
                exceeds, apply = reason == RefusalReason.AMOUNT, self._followers.apply_to_case
                if exceeds and await apply(payment_event):
                    return RECORDED
            known = reason != RefusalReason.ORDER
            if known:
                await self._stores.orders.dispute(payment_event.order)
            return CallbackOutcome("refused", reason.value, lasting=known)
        return RECORDED

    async def process_push(self, push: MessagePush) -> CallbackOutcome:
        """Process a verified push of the mini-program.

        In plain mode the signature does not cover the content: a payment is confirmed by a query,
        a refund is refused.
        """
        if event_name(push.content):
            return await self.process_event(push.content, signed=push.encrypted)
        try:
            payment_event = parse_event(push.content)
        except Unreadable:
            return refused("unreadable")
        if isinstance(payment_event, Refund) and not push.encrypted:
            return refused("plain")
        if isinstance(payment_event, Payment) and not push.encrypted:
            order = await self._stores.orders.find(payment_event.order)
            if order is None or order.provider != XPAY:
                return refused(RefusalReason.ORDER.value)
            payment_event = await self._xpay.query(order)
            if payment_event is None:
                raise TryAgain  # the push may arrive before a query shows the payment
        return await self.record(payment_event, "unknown_event")

    async def process_event(self, content: Mapping[str, Any], *, signed: bool) -> CallbackOutcome:
        """Process an event of PLATFORM_EVENTS; a refused question of Apple is not kept permanently.

        The other events concern money, a penalty or the duty to delete a user's data. `signed` says
        whether the signature covers the content, as it does in safe mode.
        """
        event = event_name(content)
        if event == REFUND_QUESTION:
            return await self._answer_apple(content, signed=signed)
        if event == COIN_PAYMENT:
            return CallbackOutcome("refused", COIN_MODE, lasting=True, event=event)
        if signed and is_deletion(content):
            app_id, openid = str(content.get("AppID")), str(content.get("OpenID"))
            await self._followers.plan_deletion(app_id, openid)
        return DONE._replace(lasting=event not in DELETION_EVENTS, event=event)

    async def _answer_apple(self, content: Mapping[str, Any], *, signed: bool) -> CallbackOutcome:
        """Advise Apple from our own collections, so that no call to another service delays it.

        A signed question marks the order as one that only Apple refunds.
        """
        try:
            number = text(content, "pay_order_id")
        except Unreadable:
            return refused("unreadable")
        orders = self._stores.orders
        order = await orders.find(number)
        if order is None or order.provider != XPAY:
            return refused(RefusalReason.ORDER.value)
        if signed and order.platform != IOS:  # instead of the platform that the client sent
            await self._stores.ledger.note_ios_payment(order.user_id)
            await orders.note(number, platform=IOS)  # last: a repeated question does both
        credit = await self._stores.ledger.credit_of(number)
        spent_gold = self._stores.spent_gold
        gifts = await spent_gold.gold_gifts(order.user_id, credit.at) if credit else []
        reversed_fen = await orders.refunded_fen(number)
        advice = advise(number, credit, gifts, reversed_fen, order.charged_fen)
        return DONE._replace(lasting=True, event=REFUND_QUESTION, answer=advice._asdict())

    async def reprocess(self, message_id: str) -> CallbackOutcome:
        """Process a stored, verified notification again. Raises NotFound or InvalidParameter."""
        row = await self._stores.inbox.find(message_id)
        if row is None:
            raise NotFound
        # The answer to a platform event could no longer reach WeChat.
        is_push = row["genuine"] and row["source"] == XPAY
        is_event = is_push and event_name(json.loads(row["raw"]))
        is_payment = row["source"] in SOURCES and not is_event
        if not is_payment or not await self._stores.inbox.reopen(message_id):
            raise InvalidParameter({"id": "is no genuine report of money"})
        message = InboxMessage(
            row["source"], row["_id"].partition(":")[2], row["query"], row["raw"]
        )
        outcome = await self._process(message)
        await self._stores.inbox.close(message, outcome)
        return outcome

    async def _process(self, message: InboxMessage) -> CallbackOutcome:
        if message.source == XPAY:
            return await self.process_push(push_of(message))
        if message.source == TRANSFER:
            return await self._followers.record_transfer(message.raw)
        payment_event = None
        try:
            if self._jsapi:
                payment_event = self._jsapi.notifications.read_verified(message.raw.encode())
        except NotVerified:
            return refused("decryption")  # the APIv3 key has changed since
        return await self.record(payment_event, "unknown_event")


def message_of(push: MessagePush, query: Mapping[str, str], body: bytes) -> InboxMessage:
    """Convert a push into an inbox message with decrypted content and without signatures.

    Its id is equal for every retry: WeChat's identity and a hash of the content. With the hash, a
    message of other content cannot block the genuine one.
    """
    # `encrypted` overrides a parameter of that name in the request; the openid is no signature, but
    # the content has it, too.
    kept = {name: query[name] for name in query if "signature" not in name and name != "openid"}
    kept["encrypted"] = ENCRYPTED if push.encrypted else "no"
    if push.refused:
        raw = body.decode(errors="replace")
        return InboxMessage(XPAY, raw, urlencode(kept), raw)
    content = push.content
    names = IDENTITY_FIELDS.get(str(content.get("Event")), ("Event", "CreateTime"))
    identity = ":".join(str(content.get(name, "")) for name in names)
    lasting = {key: value for key, value in content.items() if key not in PER_DELIVERY_FIELDS}
    message_id = f"{identity}:{sha256(repr(lasting).encode()).hexdigest()}"
    raw = json.dumps(content, ensure_ascii=False)
    return InboxMessage(XPAY, message_id, urlencode(kept), raw)


def push_of(message: InboxMessage) -> MessagePush:
    """Restore the verified push that was stored as `message`."""
    encrypted = dict(parse_qsl(message.query)).get("encrypted") == ENCRYPTED
    return MessagePush(json.loads(message.raw), encrypted=encrypted)
