"""Numbered events of a room and their payloads, as sent over WebSocket.

Times are in ms since 1970. Events about a user carry the `PublicProfile`, except `mute`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from people.profiles import PublicProfile
from rooms.members import Person, SeatName

LOG_SIZE = 256
"""Events kept per room, in a ring buffer with one field per slot: `$push` with `$slice` would write
the whole array to MongoDB's oplog (measured: 30 KB per change, against 0.7 KB)."""
LAST_EVENT_TYPE = "live_end"
"""Type of the last event of a live session."""

LeaveReason = Literal["left", "host", "offline", "banned", "moderation"]
GIVEN_UP_REASONS: tuple[LeaveReason, ...] = ("left", "offline")
"""Reasons for which guests give up their seat, and do not lose it."""
RefuseReason = Literal[
    "refused", "withdrawn", "expired", "host", "left", "offline", "banned", "moderation"
]
ACCESS = {"play_url", "play_urls", "group_id"}
"""Fields of events that let their reader see and hear a live, or read its chat."""
Visibility = Literal["public", "followers", "private"]
"""Who may enter a live: anybody, followers of the host, or only users with a ticket."""
EndReason = Literal["host", "operator", "offline", "banned", "moderation"]
DEPARTURE_REASONS: dict[str, tuple[LeaveReason, EndReason]] = {
    "left": ("left", "host"),
    "host": ("host", "host"),
    "offline": ("offline", "offline"),
    "banned": ("banned", "banned"),
    "operator": ("left", "operator"),
}
"""Reason for departing -> (a guest's event reason, `live_end` reason if the host departs)."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event of a room or of a user before it is saved, which numbers it."""

    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event of a room or a user as stored, published and replayed: the frame before encoding."""

    epoch: str
    seq: int
    ts: int
    type: str
    data: Mapping[str, Any]


def without_access(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's data without what lets its reader see or hear the live."""
    return {name: data[name] for name in data if name not in ACCESS}


class Actor(TypedDict):
    """The user who caused an event."""

    user_id: str
    nickname: str


class DeputyAction(TypedDict):
    """`by`: the deputy who caused the event; events that the host causes have none."""

    by: NotRequired[Actor]


class MicroApply(PublicProfile):
    """A user applied for the seat of their gender."""

    applied_at: int
    expires_at: int


class MicroInvite(PublicProfile):
    """The host invited a user to the seat of their gender."""

    expires_at: int


class MicroAccept(PublicProfile):
    """A user took the seat of their gender."""

    play_url: str
    area: str
    age: int


class MicroRefuse(PublicProfile, DeputyAction):
    """An application or invitation ended without a seat.

    refused: the user declined an invitation; withdrawn: the user cancelled an application; host:
    the host, or the deputy `by`, ended it.
    """

    reason: RefuseReason


class MicroLeave(PublicProfile):
    """A guest left the seat.

    `reason` host: removed by the host, moderation: the stream was stopped for what it shows.
    """

    reason: LeaveReason


class MicPresence(PublicProfile):
    """A user on mic lost or regained the connection."""

    role: SeatName | Literal["host"]


class LivePause(PublicProfile):
    """The host lost or regained the connection; the live pauses or resumes."""


class ProfileChange(PublicProfile):
    """A visible user changed nickname or face; the host's renames the room."""


class GroupChange(TypedDict):
    """The room has another chat group: join it.

    Tencent IM no longer has the previous one, or the live has become private or accessible again.
    """

    group_id: str


class RoomInfo(TypedDict):
    """The room has another name or picture."""

    room_name: str
    room_image: str


class SeatUrls(TypedDict):
    """The play URLs of the seats; null for an empty one."""

    owner: str
    male: str | None
    female: str | None


class VisibilityChange(TypedDict):
    """Who may enter has changed; in a private live, every stream has a new URL.

    Without `by` it stays private: it has new streams because a member has left.
    """

    visibility: Visibility
    by: NotRequired[Actor]
    play_urls: NotRequired[SeatUrls]


class MutedUser(TypedDict):
    user_id: str
    until: int


class ChatMute(MutedUser, DeputyAction):
    """The host, or the deputy `by`, muted a user in the chat until `until`; 0: the mute is over."""


class ChatMuteAll(TypedDict):
    """Only the host may write in the chat, or everyone again."""

    mute_all: bool


class DeputyChange(PublicProfile):
    """The user became a deputy of the host, or is none any more."""

    on: bool


class LiveEndEvent(PublicProfile):
    """The live ended, and with it all seats, applications and mutes."""

    reason: EndReason


class GiftShown(TypedDict):
    id: int
    name: str
    image: str
    effect: str


GiftEvent = TypedDict(
    "GiftEvent",
    {
        "from": PublicProfile,
        "to": PublicProfile,
        "gift": GiftShown,
        "num": int,
        "gold": int,
        "request_id": str,
    },
)
GiftEvent.__doc__ = """A gift was given in the room, to the host or to a guest."""

EVENT_PAYLOADS: dict[str, type] = {
    "micro_apply": MicroApply,
    "micro_invite": MicroInvite,
    "micro_accept": MicroAccept,
    "micro_refuse": MicroRefuse,
    "micro_leave": MicroLeave,
    "member_away": MicPresence,
    "member_back": MicPresence,
    "live_pause": LivePause,
    "live_resume": LivePause,
    "profile": ProfileChange,
    "group": GroupChange,
    "visibility": VisibilityChange,
    "room_info": RoomInfo,
    "mute": ChatMute,
    "mute_all": ChatMuteAll,
    "deputy": DeputyChange,
    "gift": GiftEvent,
    LAST_EVENT_TYPE: LiveEndEvent,
}


def by_deputy(deputy: Person | None) -> DeputyAction:
    """Return the field that names the deputy who causes an event, if one does."""
    if deputy is None:
        return {}
    return {"by": {"user_id": deputy.user_id, "nickname": deputy.nickname}}
