"""Models that several nouns share: the bases of requests and responses, and fields.

The models are the only source for validation and for the OpenAPI document.
"""

import functools
import re
import types
from collections.abc import Iterable
from datetime import datetime
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    NotRequired,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from core.clock import CHINA_TZ
from core.visible_text import shows_anything, visible
from rooms.members import Role


def _check_integer(value: Any) -> Any:
    """Accept an integer or its decimal string; Python would also accept True, "1_0" and " 2"."""
    if isinstance(value, bool) or (
        isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value)
    ):
        raise PydanticCustomError("int_parsing", "not a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_check_integer)]
Number = Annotated[Whole, Field(ge=1, le=2**53)]
UserId = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]
Text = Annotated[str, StringConstraints(max_length=512)]
RequestId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
BanMinutes = Annotated[Whole, Field(ge=1, le=1440)]
MuteMinutes = Annotated[Whole, Field(ge=0, le=1440, description="0 lifts the mute.")]
PictureUrl = Annotated[
    str,
    StringConstraints(
        max_length=512, pattern=r"^(https?://[^\s\x00-\x1f\x22'<>\\]+|uploads/[0-9a-z/.]+)$"
    ),
    Field(description="An address, or the key of an upload."),
]
CLEARED_BY_NULL = AfterValidator(lambda value: value or "")
"""Tells null, which clears a text that is stored, from a field that was not sent."""
Gender = Annotated[Whole, Field(ge=1, le=2, description="1: man, 2: woman")]


class Request(BaseModel):
    """Numbers may be sent as strings and ids as numbers; unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, frozen=True, defer_build=True
    )


LIST_PAGE_SIZE = 8
"""Entries on a page of the mini-program's lists: what a phone shows at once."""


class PageRequest(Request):
    page: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1


class LiveRequest(Request):
    live_id: Number


class UserRequest(Request):
    user_id: UserId


def _check_reason(text: str) -> str:
    if not visible(text).strip():
        raise ValueError("this is required")
    return text


Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=500), AfterValidator(_check_reason)
]
"""A text that shows something: spaces and invisible characters are no reason."""
Gold = Annotated[Whole, Field(ge=0, le=1_000_000_000)]


class ReasonRequest(Request):
    reason: Reason


class CursorRequest(Request):
    after: Annotated[str, StringConstraints(max_length=200)] = ""


class SearchRequest(CursorRequest):
    q: Annotated[str, StringConstraints(max_length=100)] = ""


class IdSearchRequest(CursorRequest):
    """`q`: a full user id, or the start of a number; report numbers are the longest."""

    q: Annotated[str, StringConstraints(max_length=400)] = ""


LONGEST_NAME = 20


def _check_name(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= LONGEST_NAME:
        raise ValueError(f"this must have 1 to {LONGEST_NAME} characters")
    if visible(text) != text or not shows_anything(text):
        raise ValueError("invisible characters and names that show nothing are not allowed")
    return text


Name = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_check_name),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_NAME,
            "description": (
                "Surrounding spaces are removed; control characters are rejected, and other "
                "invisible ones outside of emoji."
            ),
        }
    ),
]
"""Name of a user or a room."""


def clean_name(text: str) -> str:
    """Return a name from outside, cut to fit `Name`; "" if nothing visible is left."""
    # Again after the cut, which may have left half of an emoji.
    cleaned = visible(visible(text).strip()[:LONGEST_NAME]).strip()
    return cleaned if shows_anything(cleaned) else ""


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


class Page(Response, Generic[Item], use_attribute_docstrings=False):
    """A page of a list; `next` is the `after` of the following page, null on the last one.

    Its fields have no docstrings: pydantic would look for them for 7 ms for each kind of item.
    """

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


class FaceView(Response):
    user_id: str
    nickname: str
    face_url: str


class ErrorResponse(TypedDict):
    """Envelope of every error response."""

    detail: str
    code: str
    fields: NotRequired[Annotated[dict[str, str], Field(description="Reason by parameter.")]]


@functools.cache
def pydantic_type(hint: Any) -> Any:
    """Return the same type with every TypedDict in it rebuilt as one that pydantic accepts."""
    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        fields = {name: pydantic_type(part) for name, part in hints.items()}
        return typed_dict(hint.__name__, fields, hint.__doc__)
    if get_origin(hint) is NotRequired:
        return NotRequired[pydantic_type(get_args(hint)[0])]
    if get_origin(hint) is list:
        return types.GenericAlias(list, (pydantic_type(get_args(hint)[0]),))
    if get_origin(hint) is types.UnionType:
        parts = map(pydantic_type, get_args(hint))
        return functools.reduce(lambda left, right: left | right, parts)
    return hint


def typed_dict(name: str, fields: dict[str, Any], doc: str | None) -> Any:
    """Return a TypedDict of typing_extensions with these fields and this docstring."""
    result: Any = TypedDict(name, fields)  # type: ignore[misc]  # the names are data here
    result.__doc__ = doc
    return result


USER_TYPE: dict[Role, int] = {"viewer": 1, "applied": 2, "male": 3, "female": 4, "host": 5}
