"""Requests and responses about gifts, rankings, configs and the ledger."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, RootModel, StringConstraints

from handlers.models import (
    FaceView,
    Gold,
    IdSearchRequest,
    Number,
    ReasonRequest,
    Request,
    Response,
    Time,
    UserId,
    Whole,
)
from ledger.journal import Kind, Unit


def _parse_day(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("a day is YYYY-MM-DD")
    return date.fromisoformat(value)


MAX_PAGES = 500
"""Pages of a statement; the entries before a page are added up."""


class DayRequest(Request):
    """`day`: YYYY-MM-DD in China time (UTC+8)."""

    day: Annotated[date, BeforeValidator(_parse_day)] | None = None


class PushGiftRequest(Request):
    """`confirm`: the user has seen how much they have given, and confirms the gift."""

    user_id: UserId
    gift_id: Number
    num: Annotated[Whole, Field(ge=1, le=9999)] = 1
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""
    confirm: bool = False


class GivingLimitsRequest(Request):
    """Own caps of a gift, a day and a month in China; 0: none. A cap that is left out stays."""

    gift_gold: Gold | None = None
    day_gold: Gold | None = None
    month_gold: Gold | None = None


Label = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
Remark = Annotated[str, StringConstraints(max_length=200)]
ImageUrl = Annotated[str, StringConstraints(max_length=512, pattern=r"^(https?://\S+)?$")]


Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,59}$")]


class NewGiftRequest(Request):
    name: Annotated[Label, Field(examples=["满天星"])]
    gold: Gold
    image: ImageUrl = ""
    effect: Annotated[str, StringConstraints(max_length=512)] = ""


# Examples of changes equal the demo's data: executing them there changes nothing.
class GiftChangeRequest(Request):
    name: Annotated[Label, Field(examples=["玫瑰"])] | None = None
    gold: Annotated[Gold, Field(examples=[1])] | None = None
    image: ImageUrl | None = None
    effect: Annotated[str, StringConstraints(max_length=512)] | None = None


class NewConfigRequest(Request):
    key: Key
    value: Annotated[Any, Field(examples=[1])]
    enabled: bool = True
    remark: Remark = ""


class ConfigChangeRequest(Request):
    key: Key | None = None
    value: Any = None
    enabled: bool | None = None
    remark: Annotated[Remark, Field(examples=["a try"])] | None = None


class LedgerSearchRequest(IdSearchRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    kind: Literal["", Kind] = ""


class ReversalRequest(ReasonRequest):
    entry: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class GiftResponse(Response):
    id: int
    name: str
    image: str
    gold: int
    effect: str


class GiftPageResponse(Response):
    count: int
    next: str | None
    previous: str | None
    results: list[GiftResponse]


class GiftGivenResponse(Response):
    status: Literal["success"]
    gold: int
    income: int
    reminder: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Present if the gift has reached the share of a cap from which gifts need `confirm`."""


class GivingCapResponse(Response):
    """The user's own cap and that of the house; 0: none. `next` replaces `own` at `next_at`."""

    own: int
    next: int | None
    next_at: Time | None
    house: int


class GivingSumResponse(GivingCapResponse):
    """Gold given in a day or a month, with its cap."""

    given: int


class GivingLimitsResponse(Response):
    """`gift`: the most that one gift, with its number, may cost."""

    gift: GivingCapResponse
    day: GivingSumResponse
    month: GivingSumResponse


class SenderResponse(FaceView):
    """`gold` is always 0: what a user spends is not shown."""

    gold: int = 0


class ReceiverResponse(FaceView):
    """`income` is always 0, as `gold` of a sender."""

    income: int = 0


class RankResponse(Response):
    """Users who agreed (`show_in_ranking`), highest first, at most 50 in each list.

    Empty where rankings are not public, as by default in production.
    """

    senders: list[SenderResponse]
    takings: list[ReceiverResponse]


class StatementRequest(Request):
    unit: Annotated[Unit, Field(examples=["gold"])]
    page: Annotated[Whole, Field(ge=1, le=MAX_PAGES)] = 1


class StatementRowResponse(Response):
    """`balance` after the entry; a negative `amount` lowered it.

    `who`: the other user of a gift. `settle`: payment of a debt.
    """

    time: Time
    what: Literal["recharge", "gift", "grant", "reversal", "withdrawal", "return", "settle"]
    who: FaceView | None
    amount: int
    balance: int


class StatementResponse(Response):
    success: Literal["success"] = "success"
    unit: Unit
    page: int
    results: list[StatementRowResponse]
    has_more: bool


class ConfigsResponse(RootModel[dict[str, Any]]):
    pass


class NextFieldsResponse(Response):
    """`fields` that change at the time `at`, a midnight in China; a block's price is in `fen`."""

    fields: dict[str, Any]
    at: datetime


class ConfigResponse(Response):
    """`next`: the change of a rate that waits; null without one."""

    id: int
    key: str
    value: Any
    enabled: bool
    remark: str
    next: NextFieldsResponse | None = None


class PostingResponse(Response):
    account: str
    unit: str
    amount: int


class EntryResponse(Response):
    id: Annotated[str, Field(validation_alias="_id")]
    kind: str
    at: datetime
    by: str
    lines: list[PostingResponse]
    content: dict[str, Any]
    answer: dict[str, Any]
    note: str
    rate: str = ""
    """Share of a gift's gold that its receiver got as income."""
    live_id: int | None = None
    epoch: str | None = None
    seq: int | None = None


class ReversedResponse(Response):
    reverses: str
