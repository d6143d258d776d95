"""What is known of people's connections, and how long one may be gone; times in ms."""

from dataclasses import dataclass, field
from typing import Any

from rooms.people import ON_MIC, Role


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may be gone before something comes of it."""

    shown: int
    viewer: int
    guest: int
    host: int

    def of(self, role: Role, *, streams: bool) -> int:
        """Until a place of this kind is lost; twice for a guest whose picture still arrives."""
        if role == "host":
            return self.host
        if role in ON_MIC:
            return self.guest * (2 if streams else 1)
        return self.viewer


@dataclass(frozen=True, slots=True)
class Connection:
    """One socket of a member in one life of a room; `at` is when it closed, if it did."""

    user_id: str
    live_id: int
    epoch: str
    number: int
    at: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a socket that opens finds: the life of the room, one's role in it, and its number."""

    epoch: str
    role: Role
    number: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody is, the number of their newest socket, and which process serves it."""

    live_id: int
    epoch: str
    number: int
    process: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """Somebody of whose absence something may have come."""

    user_id: str
    live_id: int
    epoch: str
    streams: bool
    """Their picture still arrives at Tencent's."""
    claim: int = field(default=0, compare=False)
    """The time that stands on them while we look: a newer absence has another one."""


@dataclass(frozen=True, slots=True)
class Place:
    """A member as Tencent's callbacks find them."""

    live_id: int
    epoch: str
    role: Role
    served: bool
    """They have had a socket, which speaks for them."""
    away: bool
    entered_at: int
    stream: dict[str, Any] | None
    """What was last heard of their stream; see `streams.py`."""
