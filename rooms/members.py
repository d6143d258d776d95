"""Profiles, memberships and connection states; times in ms since 1970 if not said otherwise."""

from dataclasses import dataclass
from typing import Any, Literal

from people.profiles import PublicProfile

Role = Literal["viewer", "applied", "male", "female", "host"]
SeatName = Literal["male", "female"]
StreamState = dict[str, Any]
"""{name, sequence, at (s), on, ended: [sequence, ...]}; see `apply_notification`."""

GENDER_MALE, GENDER_FEMALE = 1, 2
ON_MIC = ("host", "male", "female")
"""Roles with a seat: the two guests, and the host, who is always on mic."""
SEAT_OF_GENDER: dict[int, SeatName] = {GENDER_MALE: "male", GENDER_FEMALE: "female"}
ACTIVITY_INTERVAL_MS = 60_000
"""Minimum interval between stored signs of life of a user who is not away."""
ENDED_SEQUENCES_KEPT = 8
"""Ended sequences remembered per stream, to ignore a start that arrives after its end."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user as a room shows them; gender 1 man, 2 woman, 0 not set."""

    user_id: str
    nickname: str = ""
    face_url: str = ""
    gender: int = 0
    area: str = ""
    age: int = 0

    def public_profile(self) -> PublicProfile:
        return {
            "user_id": self.user_id,
            "nickname": self.nickname,
            "face_url": self.face_url,
            "gender": self.gender,
        }


@dataclass(frozen=True, slots=True)
class Member:
    """A user's membership in one live session (`epoch`) of a room.

    A user has at most one, in any room.
    """

    user_id: str
    live_id: int
    epoch: str
    gender: int
    role: Role
    entered_at: int
    version: int = 0
    """Optimistic-lock version: a room change fails if it differs from the loaded one."""
    socket: int = 0
    """Number of the user's newest socket; 0 before the first."""
    away_at: int | None = None
    """When the connection was lost; None while the user is present."""
    due_at: int | None = None
    """When the absence is next evaluated, or its claim by a process ends."""
    process: str | None = None
    """The process that serves the user's socket; None if disconnected."""
    stream: StreamState | None = None
    """Last known state of the user's video stream."""


@dataclass(frozen=True, slots=True)
class MemberCounts:
    """Numbers of users in a room, host excluded."""

    men_applying: int = 0
    men: int = 0
    women_applying: int = 0
    women: int = 0
    others: int = 0
    """Users whose gender is not set."""

    @property
    def audience(self) -> int:
        """Everyone in the room, host included."""
        return self.men + self.women + self.others + 1

    @property
    def num_list(self) -> list[int]:
        """Men applying, men in the room, women applying, women in the room."""
        return [self.men_applying, self.men, self.women_applying, self.women]


def is_known_present(member: Member, now: int) -> bool:
    """Return whether a sign of life at `now` would change nothing in this membership.

    A member whose newest socket is not lost is connected, and a new membership is a sign of life
    itself. An absence that is stored after `member` was read starts a grace period of its own.
    """
    if member.away_at is not None:
        return False
    return member.socket > 0 or member.entered_at >= now - ACTIVITY_INTERVAL_MS


@dataclass(frozen=True, slots=True)
class GracePolicy:
    """How long (ms) a connection may be lost before it has consequences.

    `shown`: until the room is notified, which a change of networks should not cause. The others:
    until the role is lost. A guest blocks a seat and has less time than a viewer, twice that while
    streaming; the host has the most, because the live ends without them.
    """

    shown: int = 3_000
    viewer: int = 60_000
    guest: int = 45_000
    host: int = 120_000

    def of(self, role: Role, *, streams: bool) -> int:
        """Return the grace period of the role, doubled for a guest who still streams."""
        if role == "host":
            return self.host
        if role in ON_MIC:
            return self.guest * (2 if streams else 1)
        return self.viewer


DEFAULT_GRACE = GracePolicy()


@dataclass(frozen=True, slots=True)
class MemberSocket:
    """A member's socket in one live session; `at` is when it closed, else 0."""

    user_id: str
    live_id: int
    epoch: str
    number: int
    at: int = 0


def apply_notification(
    stored: StreamState | None, name: str, *, on: bool, sequence: str, at: int
) -> tuple[StreamState | None, bool]:
    """Apply a notification; return (state to store or None, whether it takes effect).

    A start takes effect if it is newer than the known push and its sequence has not ended; an end
    takes effect if it ends the known push or no push of this stream is known. The state is None if
    there is nothing new to store. `at` in seconds.
    """
    known = stored if stored and stored["name"] == name else None
    ended: list[str] = known["ended"] if known else []
    latest = {"name": name, "sequence": sequence, "at": at, "on": on, "ended": ended}
    if on:
        late = known is not None and _order(latest) <= _order(known)
        return (None, False) if late or sequence in ended else (latest, True)
    if sequence in ended:
        return None, False
    remembered = [*ended, sequence][-ENDED_SEQUENCES_KEPT:]
    if known and known["sequence"] != sequence:
        return {**known, "ended": remembered}, False
    return {**latest, "ended": remembered}, True


def _order(push: StreamState) -> tuple[int, int]:
    return push["at"], int(push["sequence"]) if push["sequence"].isdecimal() else 0
