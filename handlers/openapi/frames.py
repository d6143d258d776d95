"""Frame types of the socket: written by realtime/frames.py, or sent by clients.

Event payloads are the TypedDicts of rooms/.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from handlers.schemas.responses import pydantic_type, typed_dict
from realtime.close_codes import CloseCode
from rooms.events import EVENT_PAYLOADS
from rooms.snapshot import Snapshot


class ResumedFrame(TypedDict):
    """Resume succeeded: the next `replayed` frames are the missed events."""

    type: Literal["resumed"]
    live_id: int
    epoch: str
    seq: int
    replayed: int


class AudienceData(TypedDict):
    """`num_list`: men applying, men in the room, women applying, women in the room."""

    audience_count: int
    num_list: list[int]


class AudienceFrame(TypedDict):
    """Audience counts after users joined or left; coalesced and not numbered."""

    type: Literal["audience"]
    live_id: int
    data: AudienceData


class HeartbeatFrame(TypedDict):
    """Liveness signal; a client whose last `seq` is lower has missed an event."""

    type: Literal["heartbeat"]
    seq: int
    ts: int


class PongFrame(TypedDict):
    """Reply to a `ping`, with its `n`."""

    type: Literal["pong"]
    n: int


class ByeFrame(TypedDict):
    """Last frame before the socket closes with `code`. If `reconnect` is true, the client may
    reconnect, after `retry_ms` at the earliest."""

    type: Literal["bye"]
    code: Literal[tuple(map(int, CloseCode))]  # type: ignore[valid-type]
    reason: Literal[tuple(code.reason for code in CloseCode)]  # type: ignore[valid-type]
    retry_ms: int
    reconnect: bool


class PingFrame(TypedDict):
    """Answered with a `pong` of the same `n`."""

    type: Literal["ping"]
    n: int


class AuthFrame(TypedDict):
    """First frame on a socket opened without a token, within five seconds."""

    type: Literal["auth"]
    token: str


def _numbered(type_: str, data: Any, **extra: Any) -> Any:
    """Frame with the sequence number and time of an event in a room's epoch."""
    fields = {"type": Literal[type_], "live_id": int, "epoch": str, "seq": int, "ts": int}
    return typed_dict(type_, {**fields, "data": pydantic_type(data), **extra}, data.__doc__)


SERVER_FRAMES: dict[str, Any] = {
    "snapshot": _numbered(
        "snapshot", Snapshot, reset=NotRequired[Literal["epoch", "ahead", "too_old"]]
    ),
    "resumed": ResumedFrame,
    **{type_: _numbered(type_, data) for type_, data in EVENT_PAYLOADS.items()},
    "audience": AudienceFrame,
    "heartbeat": HeartbeatFrame,
    "pong": PongFrame,
    "bye": ByeFrame,
}
"""Frames the server sends, by type."""

CLIENT_FRAMES: dict[str, Any] = {"auth": AuthFrame, "ping": PingFrame}
"""Frames the server accepts, by type."""
