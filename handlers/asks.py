"""What each call may be sent: the one source for validation and for the API description."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Number = Annotated[int, Field(ge=1, le=2**53)]
UserId = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]
Text = Annotated[str, StringConstraints(max_length=512)]
Gender = Annotated[int, Field(ge=1, le=2, description="1 man, 2 woman")]


class Ask(BaseModel):
    """Numbers may arrive as strings, ids as numbers; what is not known is ignored."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, frozen=True)


def _plain(text: str) -> str:
    """Trimmed, with nothing that a terminal or a line would take for a command."""
    text = text.strip()
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
        raise ValueError("control characters are not allowed")
    return text


def _name(text: str) -> str:
    text = _plain(text)
    if not 1 <= len(text) <= 20:
        raise ValueError("this must have 1 to 20 characters")
    return text


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

    nickname: Annotated[str, StringConstraints(max_length=200), AfterValidator(_name)] | None = None
    gender: Gender | None = None
    age: Annotated[int, Field(ge=1, le=120)] | None = None
    area: Annotated[str, StringConstraints(pattern=r"^([0-9]{6})?$")] | None = None
    face_url: (
        Annotated[str, StringConstraints(max_length=512, pattern=r"^https?://[^\s\x00-\x1f]+$")]
        | None
    ) = None


class SomeUser(Ask):
    user_id: UserId | None = None


class TheUser(Ask):
    user_id: UserId


class Page(Ask):
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Live(Ask):
    live_id: Number


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


class PushGift(Ask):
    user_id: UserId
    gift_id: Number
    num: Annotated[int, Field(ge=1, le=9999)] = 1
    request_id: Annotated[str, StringConstraints(max_length=64)] = ""


class Pay(Ask):
    block_id: Number


class Like(Ask):
    user_id: UserId
    like_state: Annotated[int, Field(ge=0, le=1)]
