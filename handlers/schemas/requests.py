"""Request models: the only source for validation and for the OpenAPI document."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from handlers.schemas.names import Name


def _check_integer(value: Any) -> Any:
    """An integer or its decimal string; Python would also accept True, "1_0" and " 2"."""
    if isinstance(value, bool) or (
        isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value)
    ):
        raise PydanticCustomError("int_parsing", "not a whole number")
    return value


def _parse_day(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("a day is YYYY-MM-DD")
    return date.fromisoformat(value)


Whole = Annotated[int, BeforeValidator(_check_integer)]
Number = Annotated[Whole, Field(ge=1, le=2**53)]
UserId = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]
Text = Annotated[str, StringConstraints(max_length=512)]
RequestId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
BanMinutes = Annotated[Whole, Field(ge=1, le=1440)]
Gender = Annotated[Whole, Field(ge=1, le=2, description="1: man, 2: woman")]


class Request(BaseModel):
    """Numbers may be sent as strings and ids as numbers; unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, frozen=True, defer_build=True
    )


class LoginRequest(Request):
    appId: Text
    code: Text


class CreateUserRequest(LoginRequest):
    encryptedData: Annotated[str, StringConstraints(max_length=16_384)]
    iv: Text


class UpdateUserinfoRequest(Request):
    """Any subset of the fields; `show_in_ranking` agrees to be shown in rankings, or withdraws."""

    nickname: Name | None = None
    gender: Gender | None = None
    age: Annotated[Whole, Field(ge=1, le=120)] | None = None
    area: Annotated[str, StringConstraints(pattern=r"^([0-9]{6})?$")] | None = None
    face_url: (
        Annotated[
            str, StringConstraints(max_length=512, pattern=r"^https?://[^\s\x00-\x1f\"'<>]+$")
        ]
        | None
    ) = None
    show_in_ranking: bool | None = None


class OptionalUserRequest(Request):
    user_id: UserId | None = None


class UserRequest(Request):
    user_id: UserId


class PageRequest(Request):
    page: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1


class LiveRequest(Request):
    live_id: Number


class DayRequest(Request):
    """`day`: YYYY-MM-DD in China time (UTC+8)."""

    day: Annotated[date, BeforeValidator(_parse_day)] | None = None


class UsersInfoRequest(PageRequest):
    live_id: Number
    gender: Gender


class LeaveMicroRequest(LiveRequest):
    user_id: UserId | None = None
    gender: Gender | None = None


class InviteMicroRequest(LiveRequest):
    user_id: UserId


class RemoveUserRequest(InviteMicroRequest):
    """`minutes`: how long the user is banned from the room."""

    minutes: BanMinutes = 60


class PushGiftRequest(Request):
    user_id: UserId
    gift_id: Number
    num: Annotated[Whole, Field(ge=1, le=9999)] = 1
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""


class PayRequest(Request):
    """`platform`: `platform` of wx.getDeviceInfo(), such as ios or android; kept with the order."""

    block_id: Number
    platform: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{0,16}$", to_lower=True)] = ""


class NewWithdrawalRequest(Request):
    """Income to withdraw; what does not make a whole fen stays income.

    `request_id` identifies the withdrawal: repeated, the answer is the same one. `real_name`: kept
    encrypted, needed once the withdrawals of a day come to 2,000 yuan. WeChat Pay compares it with
    the name of the account.
    """

    income: Number
    request_id: RequestId
    real_name: Annotated[
        str,
        StringConstraints(max_length=50, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$"),
    ] = ""


class CancelWithdrawalRequest(Request):
    withdrawal_id: Annotated[str, StringConstraints(pattern=r"^W[0-9a-f]{28}$")]


class LikeRequest(Request):
    user_id: UserId
    like_state: Annotated[Whole, Field(ge=0, le=1)]
