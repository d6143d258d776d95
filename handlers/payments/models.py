"""Requests and responses about recharge blocks, orders and callbacks."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel, StringConstraints, WithJsonSchema

from handlers.gold.models import NextFieldsResponse
from handlers.models import (
    CursorRequest,
    Gold,
    IdSearchRequest,
    Number,
    ReasonRequest,
    Request,
    Response,
)
from ledger.bills import BillName, Category, Kind
from ledger.recharge import OrderState
from storage.jobs.inbox import Outcome


class PayRequest(Request):
    """`platform`: `platform` of wx.getDeviceInfo(), such as ios or android; kept with the order."""

    block_id: Number
    platform: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{0,16}$", to_lower=True)] = ""


def _fen(price: Any) -> Any:
    """Convert a yuan string with at most two decimals to fen."""
    if not isinstance(price, str) or not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,2})?", price):
        raise ValueError("a price is a string of yuan like 6.00")
    return int(Decimal(price) * 100)


_YUAN = {"type": "string", "pattern": r"^(?!0+(\.0+)?$)[0-9]{1,7}(\.[0-9]{1,2})?$"}
Price = Annotated[int, BeforeValidator(_fen), Field(ge=1), WithJsonSchema(_YUAN)]


class NewBlockRequest(Request):
    gold: Annotated[Gold, Field(ge=1)]
    price: Price


class BlockChangeRequest(Request):
    gold: Annotated[Gold, Field(ge=1, examples=[60])] | None = None
    price: Price | None = None


class OrderSearchRequest(IdSearchRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    state: Literal["", OrderState] = ""


class InboxSearchRequest(IdSearchRequest):
    source: Literal["", "im", "live", "jsapi", "xpay", "transfer"] = ""
    outcome: Literal["", "received", Outcome] = ""
    event: Annotated[str, StringConstraints(max_length=64)] = ""


class RetryRequest(Request):
    id: Annotated[str, StringConstraints(min_length=1, max_length=400)]


class BlockResponse(Response):
    """`price` in yuan with two decimals."""

    id: int
    gold: int
    price: str


class OpsBlockResponse(BlockResponse):
    """`next`: the change of gold or price that waits; null without one."""

    next: NextFieldsResponse | None = None


class BlockListResponse(RootModel[list[BlockResponse]]):
    pass


class OrderResponse(Response):
    success: Literal["success"] = "success"
    timestamp: str
    sign: str
    content: str


class OpsOrderResponse(Response):
    """An order of `gold` for `fen`; `refunded` is the amount in fen that was paid back.

    `paid_fen` is what the buyer was charged, if the provider has named it: less after a discount.
    A confirmed refund case has the whole order count as refunded, also if it is settled.
    `platform`: the buyer's system as the client names it, `ios` once Apple has asked about the
    order; "" if unknown.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    user_id: str
    provider: str
    product: str
    fen: int
    gold: int
    state: str
    sandbox: bool
    platform: str = ""
    transaction: str = ""
    refused: str = ""
    """Reason why a reported payment was not accepted."""
    paid_fen: int | None = None
    refunded: int = 0
    queries: int
    created_at: datetime
    paid_at: datetime | None = None
    closed_at: datetime | None = None


class BillResponse(Response):
    """A bill of a day, or a month of iOS; `problem`: why it waits or cannot be read."""

    id: Annotated[str, Field(validation_alias="_id")]
    type: BillName
    period: str
    state: Literal["waiting", "done", "unreadable"]
    problem: str
    rows: int
    checked_at: datetime


class BillDifferenceResponse(Response):
    """A movement about which a bill and the books disagree; `number` is ours, if there is one.

    `agreed`: a later comparison found no difference; `settled`: an operator has dealt with it.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    bill: str
    kind: Kind
    category: Category
    number: str
    order: str
    user_id: str
    fen_there: int | None
    fen_here: int | None
    detail: str
    state: Literal["open", "agreed", "settled"]
    found_at: datetime
    closed_at: datetime | None = None
    by: str = ""
    note: str = ""


class DifferenceSearchRequest(CursorRequest):
    state: Literal["open", "agreed", "settled", ""] = ""


class SettleDifferenceRequest(ReasonRequest):
    id: Annotated[
        str,
        StringConstraints(min_length=1, max_length=300),
        Field(examples=["other_amount:payment:Q0"]),
    ]


class InboxMessageResponse(Response):
    """A stored webhook message; `genuine`: verified, `times`: number of deliveries.

    `event`: name of an event of WeChat that moves no gold, `answer`: what it was answered.
    """

    id: Annotated[str, Field(validation_alias="_id")]
    source: str
    query: str
    raw: str
    genuine: bool
    outcome: str
    reason: str
    times: int
    received_at: datetime
    event: str = ""
    answer: dict[str, Any] | None = None


class OutcomeResponse(Response):
    outcome: str
    reason: str
