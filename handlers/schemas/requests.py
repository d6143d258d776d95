"""Request models: the only source for validation and for the OpenAPI document."""

import re
import unicodedata
from datetime import date
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError


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
Gender = Annotated[Whole, Field(ge=1, le=2, description="1: man, 2: woman")]

_BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # text direction
_INVISIBLE_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, line separators


class Request(BaseModel):
    """Numbers may be sent as strings and ids as numbers; unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, frozen=True, defer_build=True
    )


def _is_invisible(char: str) -> bool:
    return char in _BIDI_CONTROLS or unicodedata.category(char) in _INVISIBLE_CATEGORIES


def _check_name(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= 20:
        raise ValueError("this must have 1 to 20 characters")
    if any(map(_is_invisible, text)) or not any(map(str.isprintable, text)):
        raise ValueError("control characters and names that show nothing are not allowed")
    return text


_NAME_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": 20,
    "description": "Surrounding spaces are removed; control characters are rejected.",
}
Name = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_check_name),
    WithJsonSchema(_NAME_SCHEMA),
]


def clean_name(text: str) -> str:
    """A nickname from outside, cut to fit the rules of `Name`; "" if nothing visible is left."""
    cleaned = "".join(char for char in text if not _is_invisible(char)).strip()[:20].strip()
    return cleaned if any(map(str.isprintable, cleaned)) else ""


class LoginRequest(Request):
    appId: Text
    code: Text


class CreateUserRequest(Request):
    appId: Text
    code: Text
    encryptedData: Annotated[str, StringConstraints(max_length=16_384)]
    iv: Text


class UpdateUserinfoRequest(Request):
    """Any subset of the fields."""

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


class LeaveMicroRequest(Request):
    live_id: Number
    user_id: UserId | None = None
    gender: Gender | None = None


class InviteMicroRequest(Request):
    live_id: Number
    user_id: UserId


class RemoveUserRequest(Request):
    """`minutes`: how long the user is banned from the room."""

    live_id: Number
    user_id: UserId
    minutes: Annotated[Whole, Field(ge=1, le=1440)] = 60


class PushGiftRequest(Request):
    user_id: UserId
    gift_id: Number
    num: Annotated[Whole, Field(ge=1, le=9999)] = 1
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""


class PayRequest(Request):
    block_id: Number


class LikeRequest(Request):
    user_id: UserId
    like_state: Annotated[Whole, Field(ge=0, le=1)]
