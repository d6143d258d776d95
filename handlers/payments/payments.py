"""Recharge: the blocks of gold for sale, their orders, and what WeChat reports about them.

Gold is credited only by the notifications of payments and by the order query.
"""

import time
from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, StringConstraints
from pydantic.alias_generators import to_pascal

from handlers.base import ActiveUserHandler, endpoint
from handlers.callback_base import CallbackHandler, MerchantCallbackHandler
from handlers.models import NoContentResponse, Number, Request, Response, TextResponse
from services.errors import AgeUnverified, SessionKeyMissing, TooManyOrders
from services.payments.payment_notifications import message_of
from storage.errors import BlockNotFound
from tencent.errors import ServiceUnavailable
from tencent.message_push import MEDIA_CHECKED, NOTICE_EVENTS, REFUND_QUESTION, event_name
from tencent.pay import JSAPI


class PayRequest(Request):
    """`platform`: `platform` of wx.getDeviceInfo(), such as ios or android; kept with the order."""

    block_id: Number
    platform: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{0,16}$", to_lower=True)] = ""


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


class BlockResponse(Response):
    """`price` in yuan with two decimals."""

    id: int
    gold: int
    price: Annotated[str, Field(validation_alias="fen"), BeforeValidator(_yuan)]


class BlockListResponse(RootModel[list[BlockResponse]]):
    pass


class OrderResponse(Response):
    success: Literal["success"] = "success"
    timestamp: str
    sign: str
    content: str


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


class PayHandler(ActiveUserHandler):
    soft_errors = {TooManyOrders: "success"}

    @endpoint(limit="read")
    async def get(self) -> BlockListResponse:
        """List the blocks of gold for sale."""
        return BlockListResponse.model_validate(await self.context.stores.blocks.all())

    @endpoint(
        limit="order",
        errors=[
            AgeUnverified,
            SessionKeyMissing,
            BlockNotFound,
            TooManyOrders,
            ServiceUnavailable("pay"),
        ],
    )
    async def post(self, params: PayRequest) -> OrderResponse:
        """Order a block of gold; the gold is credited when the payment is confirmed.

        Repeating an order that is still open answers the same order again.
        """
        services = self.context.services
        services.accounts.age_verification.check(self.user)
        order = await services.payments.recharge.order(self.user, params.block_id, params.platform)
        return OrderResponse(**order._asdict())


class JsapiCallbackHandler(MerchantCallbackHandler):
    """Receive a payment or a refund.

    Answers 204 once it is stored; WeChat Pay repeats it after any other status.
    """

    @endpoint()
    async def post(self) -> NoContentResponse:
        record = self.context.services.payments.notifications.record
        return await self.receive_notification(JSAPI, self.context.tencent.jsapi, record)


class XpayCallbackHandler(CallbackHandler):
    @endpoint()
    async def get(self) -> EchoResponse:
        """Prove to the WeChat console that this URL is ours.

        The console expects `echostr` in return, if the signature is its own.
        """
        echo = self.context.tencent.message_push.verify_url(self.query, time.time())
        if echo is None:
            self.refuse()
        return EchoResponse(text=echo)

    @endpoint(errors=[ServiceUnavailable("wechat"), ServiceUnavailable("pay")])
    async def post(self) -> XpayReplyResponse:
        """Message push of the mini-program.

        Virtual payment, penalties, withdrawn consent, checks of pictures, subscription messages.
        """
        context = self.context
        push = context.tencent.message_push.open(self.query, self.body, time.time())
        self.note_arrival("push", push.kind)
        message = message_of(push, self.query, self.body)
        handle = partial(context.services.payments.notifications.process_push, push)
        if push.content.get("Event") == MEDIA_CHECKED:
            handle = partial(context.services.decisions.receive, push.content)
        elif push.content.get("Event") in NOTICE_EVENTS:
            handle = partial(context.services.accounts.notices.receive, push)
        await self.receive(message, push.refused, handle)
        if event_name(push.content) != REFUND_QUESTION:
            return XpayReplyResponse(XpayAckResponse())
        # The stored answer to Apple's question, the same each time it is asked.
        stored = await context.stores.inbox.stored(message)
        advice = RefundAdviceResponse.model_validate(stored.get("answer"))
        reply = context.tencent.message_push.encrypt(advice.model_dump_json(), time.time())
        return XpayReplyResponse(EncryptedReplyResponse.model_validate(reply) if reply else advice)
