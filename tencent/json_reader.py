"""JSON of Tencent's answers and callbacks, checked field by field, and of our requests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tencent.errors import Unreadable

TEXT_LENGTH = 256
INT64 = 2**63

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class ParsedCallback(Generic[Event]):
    """One callback or notification; `id` is the same for every repetition of it.

    Exactly one is set: the `event`, the Reason why it is `refused`, or why it is `ignored`
    (genuine, but of no effect). `kind` is the sender's name of the event; None unless the signature
    is right.
    """

    id: str
    event: Event | None = None
    refused: str = ""
    ignored: str = ""
    kind: str | None = None


def read_object(body: bytes | str, *, storable: bool = False) -> dict[str, Any]:
    """Return the JSON object in `body`, or raise Unreadable.

    `storable` also rejects lone surrogates, which MongoDB cannot store.
    """
    try:
        content = json.loads(body)
        if storable:
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(content, dict):
        raise Unreadable
    return content


def json_text(content: Mapping[str, Any]) -> str:
    """Return the JSON of a request body, as it is signed and sent."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def child(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object in a field. Raises Unreadable for any other value."""
    value = content.get(name)
    if not isinstance(value, dict):
        raise Unreadable
    return value


def objects(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the list of objects in a field. Raises Unreadable for any other value."""
    value = content.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable
    return value


def text(content: Mapping[str, Any], name: str) -> str:
    """Return a text of 1 to 256 characters. Raises Unreadable for any other value."""
    value = content.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH:
        raise Unreadable
    return value


def number(content: Mapping[str, Any], name: str, limit: int = 2**53) -> int:
    """Return an integer from 0 to below `limit`. Raises Unreadable for any other value."""
    value = content.get(name)
    if type(value) is not int or not 0 <= value < limit:
        raise Unreadable
    return value


def digits(value: object, longest: int) -> int:
    """Return an integer that Tencent sends as a number or as digits, or raise Unreadable."""
    written = str(value) if type(value) is int else value
    # isdecimal would let digits of other scripts pass, and int() more than digits
    if not (isinstance(written, str) and written.isascii() and written.isdigit()):
        raise Unreadable
    if len(written) > longest:
        raise Unreadable
    return int(written)
