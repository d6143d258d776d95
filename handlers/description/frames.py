"""The frames around what rooms/ says, as realtime/frames.py writes them, and what a client sends.

The words of a room are taken from rooms/ as they stand there. pydantic reads a TypedDict of the
standard library only from Python 3.12 on, so each is made anew as one that it reads.
"""

import functools
import types
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from typing_extensions import TypedDict

from realtime.codes import Code
from rooms.events import VOCABULARY
from rooms.snapshot import Snapshot


class Resumed(TypedDict):
    """Nothing is missing: the next `replayed` frames are what was missed, then it goes on."""

    type: Literal["resumed"]
    live_id: int
    epoch: str
    seq: int
    replayed: int


class Crowd(TypedDict):
    """num_list: men applying, men in the room, women applying, women in the room."""

    audience_count: int
    num_list: list[int]


class Audience(TypedDict):
    """Who comes and goes, gathered; not numbered."""

    type: Literal["audience"]
    live_id: int
    data: Crowd


class Heartbeat(TypedDict):
    """Nothing has happened; whoever has seen less than `seq` has missed something."""

    type: Literal["heartbeat"]
    seq: int
    ts: int


class Pong(TypedDict):
    type: Literal["pong"]
    n: int


class Bye(TypedDict):
    """The last frame: the socket closes with `code`. `reconnect` says whether to come back, not
    before `retry_ms`."""

    type: Literal["bye"]
    code: Literal[tuple(map(int, Code))]  # type: ignore[valid-type]
    reason: Literal[tuple(code.reason for code in Code)]  # type: ignore[valid-type]
    retry_ms: int
    reconnect: bool


class Ping(TypedDict):
    """Answered with pong."""

    type: Literal["ping"]
    n: int


class Auth(TypedDict):
    """The first frame of a socket that was opened without a token, within five seconds."""

    type: Literal["auth"]
    token: str


@functools.cache
def readable(hint: Any) -> Any:
    """The same type with every TypedDict in it made anew."""
    if is_typeddict(hint):
        fields = {name: readable(part) for name, part in get_type_hints(hint).items()}
        return _made(hint.__name__, fields, hint.__doc__)
    if get_origin(hint) is list:
        return types.GenericAlias(list, (readable(get_args(hint)[0]),))
    if get_origin(hint) is types.UnionType:
        return functools.reduce(lambda one, other: one | other, map(readable, get_args(hint)))
    return hint


def _made(name: str, fields: dict[str, Any], doc: str | None) -> Any:
    made: Any = TypedDict(name, fields)  # type: ignore[misc]  # the names are data here
    made.__doc__ = doc
    return made


def _numbered(type_: str, data: Any, **more: Any) -> Any:
    """A frame with a place and a time in the life of a room."""
    fields = {"type": Literal[type_], "live_id": int, "epoch": str, "seq": int, "ts": int}
    return _made(type_, {**fields, "data": readable(data), **more}, data.__doc__)


HEARD: dict[str, Any] = {
    "snapshot": _numbered(
        "snapshot", Snapshot, reset=NotRequired[Literal["epoch", "ahead", "too_old"]]
    ),
    "resumed": Resumed,
    **{type_: _numbered(type_, data) for type_, data in VOCABULARY.items()},
    "audience": Audience,
    "heartbeat": Heartbeat,
    "pong": Pong,
    "bye": Bye,
}
"""What the server sends, by type."""

SAID: dict[str, Any] = {"auth": Auth, "ping": Ping}
"""What it takes."""
