"""Response models, field by field as the API contract defines them."""

import functools
import types
from collections.abc import Iterable
from datetime import datetime
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NotRequired,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel
from typing_extensions import TypedDict

from core.clock import CHINA_TZ
from ledger.withdrawals import WithdrawalState

Item = TypeVar("Item")
Time = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(CHINA_TZ).isoformat(timespec="seconds")[:19], str),
]
"""Local time in China (UTC+8 all year) without an offset, as the API contract requires."""


class Response(BaseModel):
    """Base of all responses; fields left at their default are written as well."""

    model_config = ConfigDict(
        from_attributes=True,
        frozen=True,
        json_schema_serialization_defaults_required=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )


class Page(Response, Generic[Item]):
    """A page of a list; `next` is the `after` of the following page, null on the last one."""

    items: list[Item]
    next: str | None

    @classmethod
    def of(cls, rows: Iterable[Any], cursor: str | None = None) -> Self:
        """Objects or documents with the fields of an item."""
        return cls.model_validate({"items": [*rows], "next": cursor})


class TextResponse(Response):
    """A body that is not JSON."""

    media_type: ClassVar[str] = "text/plain; charset=utf-8"
    text: str


class NoContentResponse(Response):
    """HTTP 204 without a body."""


class OkResponse(Response):
    detail: str = "OK"


class ErrorResponse(TypedDict):
    """Envelope of every error response."""

    detail: str
    code: str
    fields: NotRequired[Annotated[dict[str, str], Field(description="Reason by parameter.")]]


class LoginResponse(Response):
    """`status` 0: signed in, 1: not registered yet (all other fields are empty)."""

    status: Literal[0, 1]
    token: str = ""
    user_id: str = ""
    user_sign: str = ""
    sdk_app_id: str = ""
    login_type: Literal[0, 1] = 0


class LoginIntoRoomResponse(LoginResponse):
    """`login_type` 1: the user is still in a room."""

    user_type: int
    live_room_name: str
    live_id: int
    group_id: str


class NewUserResponse(Response):
    token: str
    user_id: str
    user_sign: str
    sdk_app_id: str


class UserInfoResponse(Response):
    """For another user, `user_sig` is "" and private fields are null.

    `show_in_ranking`: whether the user agreed to be shown in rankings.
    """

    user_id: str
    user_sig: str = ""
    user_sig_expired: Time | None = None
    nickname: str
    gender: int
    age: int
    face_url: str
    area: str
    gold: int | None
    height: int
    is_matchmaker: bool
    income: int | None
    last_login_time: Time | None
    create_time: Time
    show_in_ranking: bool | None


class UserInfoWithRateResponse(UserInfoResponse):
    rate: str = ""


class UserStateResponse(Response):
    live_room_name: str = ""
    live_id: int | Literal[""] = ""
    group_id: str = ""
    user_type: int = 0


class PlayerResponse(Response):
    boy: str
    girl: str


class LiveRoomResponse(Response):
    id: int
    group_id: str
    room_name: str
    room_image: str
    player: PlayerResponse
    audience_count: int


class LiveListResponse(RootModel[list[LiveRoomResponse]]):
    pass


class AnchorInfoResponse(Response):
    nickname: str
    face_url: str


class OnMicResponse(Response):
    play_url: str = ""
    nickname: str
    area: str
    age: int
    user_id: str
    face_url: str


class EmptySeatResponse(Response):
    model_config = ConfigDict(extra="forbid")


class PlayUrlResponse(Response):
    anchor_info: AnchorInfoResponse
    owner: OnMicResponse
    male: OnMicResponse | EmptySeatResponse
    female: OnMicResponse | EmptySeatResponse
    user_type: int
    push_url: str
    num_list: list[int]


class SeatedResponse(OnMicResponse):
    push_url: str
    gender: int


class UserInRoomResponse(Response):
    """`state` 0: viewer, 1: applicant."""

    user_id: str
    face_url: str
    nickname: str
    state: Literal[0, 1]


class UsersInRoomResponse(RootModel[list[UserInRoomResponse]]):
    pass


class MatchmakerEnterResponse(Response):
    status: Literal["ok"] = "ok"
    user_id: str
    live_id: int
    nickname: str
    face_url: str
    push_url: str
    play_url: str
    group_id: str


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


class SenderResponse(Response):
    """`gold` is always 0: what a user spends is not shown."""

    user_id: str
    nickname: str
    face_url: str
    gold: int = 0


class ReceiverResponse(Response):
    """`income` is always 0, as `gold` of a sender."""

    user_id: str
    nickname: str
    face_url: str
    income: int = 0


class RankResponse(Response):
    """Users who agreed (`show_in_ranking`), highest first, at most 50 in each list.

    Empty where rankings are not public, as by default in production.
    """

    senders: list[SenderResponse]
    takings: list[ReceiverResponse]


class BlockResponse(Response):
    """`price` in yuan with two decimals."""

    id: int
    gold: int
    price: str


class BlockListResponse(RootModel[list[BlockResponse]]):
    pass


class OrderResponse(Response):
    success: Literal["success"] = "success"
    timestamp: str
    sign: str
    content: str


class WithdrawalResponse(Response):
    """A withdrawal of `income` for `fen`; times are local time in China.

    While the user has to confirm it, `package_info` is the `package` of
    wx.requestMerchantTransfer.
    """

    withdrawal_id: Annotated[str, Field(validation_alias="id")]
    state: WithdrawalState
    income: int
    fen: int
    paid_fen: int
    requested_at: Time
    reason: str
    """Why it was declined, in the operator's words; or a code: `cancelled` by the user, or
    `refund_case`, for the refund of an order that paid for gifts to the user."""
    fail_reason: str
    """Why WeChat Pay did not pay, in its words."""
    mch_id: str = ""
    app_id: str
    package_info: Annotated[str, Field(validation_alias="package")]


class WithdrawResponse(WithdrawalResponse):
    """`income` is what is held, at most what was requested."""

    status: Literal["success"] = "success"
    detail: str = "OK"


class WithdrawalsResponse(Response):
    """`matured`: income that can be withdrawn now."""

    matured: int
    items: list[WithdrawalResponse]
    page: int
    has_more: bool


class LikeStateResponse(Response):
    like_state: Literal[0, 1]


class ConfigsResponse(RootModel[dict[str, Any]]):
    pass


@functools.cache
def pydantic_type(hint: Any) -> Any:
    """The same type with every TypedDict in it rebuilt as one that pydantic accepts."""
    if is_typeddict(hint):
        fields = {name: pydantic_type(part) for name, part in get_type_hints(hint).items()}
        return typed_dict(hint.__name__, fields, hint.__doc__)
    if get_origin(hint) is list:
        return types.GenericAlias(list, (pydantic_type(get_args(hint)[0]),))
    if get_origin(hint) is types.UnionType:
        parts = map(pydantic_type, get_args(hint))
        return functools.reduce(lambda left, right: left | right, parts)
    return hint


def typed_dict(name: str, fields: dict[str, Any], doc: str | None) -> Any:
    """A TypedDict of typing_extensions with these fields and this docstring."""
    result: Any = TypedDict(name, fields)  # type: ignore[misc]  # the names are data here
    result.__doc__ = doc
    return result
