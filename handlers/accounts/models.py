"""Requests and responses about users, and about their sessions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from handlers.models import (
    CLEARED_BY_NULL,
    Gender,
    Gold,
    Name,
    PictureUrl,
    Reason,
    ReasonRequest,
    Request,
    RequestId,
    Response,
    SearchRequest,
    Text,
    Time,
    UserId,
    Whole,
)
from ledger.journal import Unit
from services.accounts.pictures import MAX_BYTES, PictureKind, PictureType
from storage.accounts.users import ADULT_YEARS


class LoginRequest(Request):
    appId: Text
    code: Text


class CreateUserRequest(LoginRequest):
    """`encryptedData`, with its `iv`: of wx.getUserProfile; it may be left out."""

    encryptedData: Annotated[str, StringConstraints(max_length=16_384)] = ""
    iv: Text = ""


Area = Annotated[str, StringConstraints(pattern=r"^([0-9]{6})?$")]
Height = Annotated[Whole, Field(ge=100, le=250)]


class UpdateUserinfoRequest(Request):
    """Any subset of the fields; null clears `area`, `face_url` and `height` (in cm).

    `show_in_ranking` agrees to be shown in rankings, or withdraws.
    """

    nickname: Name | None = None
    gender: Gender | None = None
    age: Annotated[Whole, Field(ge=ADULT_YEARS, le=120)] | None = None
    area: Annotated[Area | None, CLEARED_BY_NULL] = None
    face_url: Annotated[PictureUrl | None, CLEARED_BY_NULL] = None
    height: Annotated[Height | None, AfterValidator(lambda value: value or 0)] = None
    show_in_ranking: bool | None = None


class VerifyAgeRequest(Request):
    """Real name, and number of the ID card; neither is stored."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True)]
    id_number: Annotated[
        str,
        StringConstraints(min_length=18, max_length=18),
        Field(examples=["11010119900307002X"]),
    ]


class UploadTicketRequest(Request):
    """`type` and `size` (in bytes) of the picture."""

    kind: Annotated[PictureKind, Field(examples=["face"])]
    type: Annotated[PictureType, Field(examples=["image/jpeg"])]
    size: Annotated[Whole, Field(ge=1, le=MAX_BYTES, examples=[60_000])]


class OptionalUserRequest(Request):
    user_id: UserId | None = None


class UserRequest(Request):
    user_id: UserId


class LikeRequest(Request):
    user_id: UserId
    like_state: Annotated[Whole, Field(ge=0, le=1)]


SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class UserSearchRequest(SearchRequest):
    """`owing`: only users who owe gold or income for a refund."""

    owing: bool = False


class UserChangeRequest(Request):
    """A ban needs a `ban_reason`, a change of `age_verified` a `reason`."""

    is_matchmaker: bool | None = None
    banned: Annotated[bool, Field(examples=[False])] | None = None
    ban_reason: Reason | None = None
    age_verified: Annotated[bool, Field(examples=[True])] | None = None
    reason: Reason | None = None


class EndSessionsRequest(ReasonRequest):
    """`id`: of one session; without it, all sessions of the user end."""

    id: Annotated[SessionId, Field(examples=["0" * 64])] | None = None


class GrantRequest(ReasonRequest):
    gold: Annotated[Gold, Field(ge=1)]
    request_id: RequestId


class SettleRequest(GrantRequest):
    """Payment of what a user owes, from the user's balance or by the house.

    `gold` is the amount, of income if that is the `unit`.
    """

    paid_by: Literal["user", "house"]
    unit: Unit = "gold"


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

    `show_in_ranking`: whether the user agreed to be shown in rankings. `in_review`: names and
    pictures of the user and of their room that are being checked, by their parameter
    (`nickname`, `face_url`, `room_name`, `room_image`).
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
    in_review: dict[str, str] | None = None


class UserInfoWithRateResponse(UserInfoResponse):
    rate: str = ""


class LeavingUserInfoResponse(UserInfoWithRateResponse):
    """Own profile of a user whose deletion is due at `delete_at`."""

    delete_at: Time


class UploadTicketResponse(Response):
    url: str
    key: str
    fields: dict[str, str]
    seconds: int


class UserStateResponse(Response):
    live_room_name: str = ""
    live_id: int | Literal[""] = ""
    group_id: str = ""
    user_type: int = 0


class LikeStateResponse(Response):
    like_state: Literal[0, 1]


class OpsUserResponse(Response):
    """A user; times are UTC in RFC 3339."""

    id: Annotated[str, Field(validation_alias="user_id")]
    nickname: str
    gender: Gender | int
    age: int
    area: str
    face_url: str
    gold: int
    income: int
    owed: int
    owed_income: int
    is_matchmaker: bool
    banned: bool
    ban_reason: str
    age_verified_at: datetime | None
    continuous_time: int
    create_time: datetime
    last_login_time: datetime | None
    delete_at: datetime | None
    deleted_at: datetime | None
    """When the deletion began, which leaves the number and the balance."""


class SessionsEndedResponse(Response):
    """How many valid sessions have ended."""

    ended: int


class BalanceResponse(Response):
    gold: int
    income: int
