"""What each call may be sent: the one source for validation and for the API description."""

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


def _whole(value: Any) -> Any:
    """A number, or a phone's "2"; Python would also take True, "1_0" and " 2"."""
    if isinstance(value, bool) or (
        isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value)
    ):
        raise PydanticCustomError("int_parsing", "not a whole number")
    return value


def _day(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("a day is YYYY-MM-DD")
    return date.fromisoformat(value)


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[Whole, Field(ge=1, le=2**53)]
UserId = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]
Text = Annotated[str, StringConstraints(max_length=512)]
Gender = Annotated[Whole, Field(ge=1, le=2, description="1 man, 2 woman")]

_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # the direction of writing
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, half characters, line separators


class Ask(BaseModel):
    """Numbers may arrive as strings, ids as numbers; what is not known is ignored."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, frozen=True, defer_build=True
    )


def _unseen(sign: str) -> bool:
    return sign in _TURNING or unicodedata.category(sign) in _UNSEEN


def _name(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= 20:
        raise ValueError("this must have 1 to 20 characters")
    if any(map(_unseen, text)) or not any(map(str.isprintable, text)):
        raise ValueError("control characters and names that show nothing are not allowed")
    return text


_ONE_TO_TWENTY = {
    "type": "string",
    "minLength": 1,
    "maxLength": 20,
    "description": "Without the spaces around it; no control characters.",
}
Name = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(_name), WithJsonSchema(_ONE_TO_TWENTY)
]


def tidy_name(text: str) -> str:
    """What others call somebody, made to fit the rule of `_name`, or "" where nothing is left."""
    kept = "".join(sign for sign in text if not _unseen(sign)).strip()[:20].strip()
    return kept if any(map(str.isprintable, kept)) else ""


class Login(Ask):
    appId: Text
    code: Text


class CreateUser(Ask):
    appId: Text
    code: Text
    encryptedData: Annotated[str, StringConstraints(max_length=16_384)]
    iv: Text


class UpdateUserinfo(Ask):
    """Any subset."""

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


class SomeUser(Ask):
    user_id: UserId | None = None


class TheUser(Ask):
    user_id: UserId


class Page(Ask):
    page: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1


class Live(Ask):
    live_id: Number


class Day(Ask):
    """`day` as YYYY-MM-DD, in China."""

    day: Annotated[date, BeforeValidator(_day)] | None = None


class UsersInfo(Page):
    live_id: Number
    gender: Gender


class LeaveMicro(Ask):
    live_id: Number
    user_id: UserId | None = None
    gender: Gender | None = None


class InviteMicro(Ask):
    live_id: Number
    user_id: UserId


class PutOut(Ask):
    """`minutes` until they may come back."""

    live_id: Number
    user_id: UserId
    minutes: Annotated[Whole, Field(ge=1, le=1440)] = 60


class PushGift(Ask):
    user_id: UserId
    gift_id: Number
    num: Annotated[Whole, Field(ge=1, le=9999)] = 1
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""


class Pay(Ask):
    block_id: Number


class Like(Ask):
    user_id: UserId
    like_state: Annotated[Whole, Field(ge=0, le=1)]
