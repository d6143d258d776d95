"""Where WeChat reports payments and refunds; gold arrives by these and by the query only."""

import json
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from handlers.answers import Answer
from handlers.base import call
from handlers.callback import DONE, Callback, Settled, ignored, refused
from handlers.parts import Parts
from money.recharge import Payment, PaymentRefused, Refund
from rooms.refusals import CallbackRefused, TryAgain
from storage.inbox import Note
from tencent.paynotice import PROVIDER as JSAPI
from tencent.paysign import NotGenuine
from tencent.pushes import NotProven, Push
from tencent.xpay import DELIVERED, REFUNDED, Unreadable, news_of
from tencent.xpay import PROVIDER as XPAY

SEALED = "yes"
IDS = {
    DELIVERED: ("Event", "OutTradeNo"),
    REFUNDED: ("Event", "WxRefundId", "RetCode"),  # one that has failed may succeed later
}
EARLY = "not_paid"
"""A refund may be reported before its payment."""


class Nothing(Answer):
    """HTTP 204."""


class Echo(Answer):
    text: str


class XpayHeard(Answer):
    model_config = ConfigDict(alias_generator=to_pascal)

    err_code: int = 0
    err_msg: str = "success"


class JsapiNotice(Callback):
    """WeChat Pay, API v3; its answer is HTTP 204, and whatever else makes it repeat."""

    @call
    async def post(self) -> Nothing:
        parts = self.parts
        if parts.jsapi is None:
            raise CallbackRefused
        heard = parts.jsapi.notices.read(self.request.headers, self.body, time.time())
        note = Note(JSAPI, heard.id, "", self.body.decode(errors="replace"))

        async def carry_out() -> Settled:
            return await credit(parts, heard.news, heard.ignored)

        await self.take(note, heard.refused, carry_out)
        return Nothing()

    def write_model(self, answer: BaseModel) -> None:  # noqa: ARG002 - there is nothing in it
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()


class XpayNotice(Callback):
    """Message push of the mini-program, of which only virtual payment concerns us."""

    @call
    async def get(self) -> Echo:
        """The console's check of the address."""
        try:
            return Echo(text=self.parts.pushes.echo(self.query, time.time()))
        except NotProven:
            raise CallbackRefused from None

    @call
    async def post(self) -> XpayHeard:
        parts = self.parts
        push, doubt = self._opened()
        unsigned = {name: value for name, value in self.query.items() if "signature" not in name}
        content = json.dumps(push.content, ensure_ascii=False) if push else ""
        raw = content or self.body.decode(errors="replace")
        proof = {"sealed": SEALED if push and push.sealed else "no"}  # ours, whatever was asked
        note = Note(XPAY, _id(push) if push else raw, urlencode(unsigned | proof), raw)

        async def carry_out() -> Settled:
            assert push
            return await hear_push(parts, push)

        await self.take(note, doubt, carry_out)
        return XpayHeard()

    def write_model(self, answer: BaseModel) -> None:
        if isinstance(answer, Echo):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(answer.text)
        else:
            super().write_model(answer)

    def _opened(self) -> tuple[Push | None, str]:
        try:
            return self.parts.pushes.open(self.query, self.body, time.time()), ""
        except NotProven as why:
            return None, str(why)


async def hear_push(parts: Parts, push: Push) -> Settled:
    """One that is proven to be WeChat's; in plain mode that does not prove what it says."""
    try:
        news = news_of(push.content)
    except Unreadable:
        return refused("unreadable")
    if isinstance(news, Refund) and not push.sealed:
        return refused("plain")
    if isinstance(news, Payment) and not push.sealed:
        order = await parts.orders.find(news.order)
        if order is None or order.provider != XPAY:
            return refused("order")
        news = await parts.xpay.query(order)
        if news is None:
            raise TryAgain  # the report may have been faster than what it is about
    return await credit(parts, news, "unknown_event")


async def credit(parts: Parts, news: Payment | Refund | None, otherwise: str) -> Settled:
    """TryAgain while a refund is early."""
    try:
        if isinstance(news, Payment):
            await parts.cashier.credit(news)
        elif isinstance(news, Refund):
            await parts.cashier.refund(news)
        else:
            return ignored(otherwise)
    except PaymentRefused as why:
        if isinstance(news, Refund) and why.word == EARLY:
            raise TryAgain from None
        return Settled("refused", why.word, lasting=why.word != "order")
    return DONE._replace(lasting=True)


def _id(push: Push) -> str:
    """The same for every repetition: that by which WeChat tells its messages apart, and the
    content, so that one that says something else stands in nobody's way."""
    content = push.content
    names = IDS.get(str(content.get("Event")), ("Event", "FromUserName", "CreateTime"))
    name = ":".join(str(content.get(name, "")) for name in names)
    return f"{name}:{sha256(repr(content).encode()).hexdigest()}"


# ---- once more, for operators

AGAIN = (JSAPI, XPAY)


async def again(parts: Parts, row: Mapping[str, Any]) -> Settled:
    """Carries out a genuine report as it was kept."""
    note = Note(row["source"], row["_id"].partition(":")[2], row["query"], row["raw"])
    settled = await (_again_jsapi if note.source == JSAPI else _again_xpay)(parts, note)
    outcome, reason, lasting = settled
    await parts.inbox.settle(note, outcome, reason, lasting=lasting)
    return settled


async def _again_jsapi(parts: Parts, note: Note) -> Settled:
    try:
        news = parts.jsapi.notices.again(note.raw.encode()) if parts.jsapi else None
    except NotGenuine:
        return refused("seal")  # the key has been changed since
    return await credit(parts, news, "unknown_event")


async def _again_xpay(parts: Parts, note: Note) -> Settled:
    sealed = dict(parse_qsl(note.query)).get("sealed") == SEALED
    return await hear_push(parts, Push(json.loads(note.raw), sealed=sealed))
