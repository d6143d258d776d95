"""Every word spoken on the room's socket: the numbered events and what each carries.

Times are milliseconds since 1970. Every event about a person carries their `Face`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from rooms.people import Face, SeatName

LAST = "live_end"
"""The event after which a life of a room says nothing more."""

Leaving = Literal["left", "host", "offline", "banned"]
Refusing = Literal["refused", "withdrawn", "expired", "host", "left", "offline", "banned"]
Ending = Literal["host", "operator", "offline", "banned"]
DEPARTING: dict[str, tuple[Leaving, Ending]] = {
    "left": ("left", "host"),
    "host": ("host", "host"),
    "offline": ("offline", "offline"),
    "banned": ("banned", "banned"),
    "operator": ("left", "operator"),
}
"""By why somebody goes: as what it is told of a guest, and of a host, whose live ends by it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened; a room numbers it when it is saved."""

    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event as it is stored, told and replayed: the frame without its encoding."""

    epoch: str
    seq: int
    ts: int
    type: str
    data: Mapping[str, Any]


class MicroApply(Face):
    applied_at: int
    expires_at: int


class MicroInvite(Face):
    expires_at: int


class MicroAccept(Face):
    play_url: str
    area: str
    age: int


class MicroRefuse(Face):
    """refused: an invitation; withdrawn: one's own application."""

    reason: Refusing


class MicroLeave(Face):
    """host: taken off by the host."""

    reason: Leaving


class Moment(Face):
    """Somebody on mic lost or regained their connection."""

    role: SeatName | Literal["host"]


class LivePause(Face):
    """The host is away, or back."""


class Profile(Face):
    """Somebody visible changed nickname or face; the host's also renames the room."""


class LiveEnd(Face):
    """Ends all seats and applications by itself."""

    reason: Ending


class GiftShown(TypedDict):
    id: int
    name: str
    image: str
    effect: str


Gift = TypedDict(
    "Gift",
    {
        "from": Face,
        "to": Face,
        "gift": GiftShown,
        "num": int,
        "gold": int,
        "request_id": str,
    },
)

VOCABULARY: dict[str, type] = {
    "micro_apply": MicroApply,
    "micro_invite": MicroInvite,
    "micro_accept": MicroAccept,
    "micro_refuse": MicroRefuse,
    "micro_leave": MicroLeave,
    "member_away": Moment,
    "member_back": Moment,
    "live_pause": LivePause,
    "live_resume": LivePause,
    "profile": Profile,
    "gift": Gift,
    LAST: LiveEnd,
}
