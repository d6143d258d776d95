"""Connection states of members, their grace periods, and their streams; times in ms if not said."""

from dataclasses import dataclass, field
from typing import Any

from rooms.members import ON_MIC, Member, Role

ACTIVITY_INTERVAL_MS = 60_000
"""Minimum interval between stored signs of life of a user who is not away."""
ENDED_SEQUENCES_KEPT = 8
"""Ended sequences remembered per stream, to ignore a start that arrives after its end."""
StreamState = dict[str, Any]
"""{name, sequence, at (s), on, ended: [sequence, ...]}"""


def is_known_present(member: Member, now: int) -> bool:
    """Whether a sign of life at `now` would change nothing in this membership.

    A member whose newest socket is not lost is connected, and a new membership is a sign of life
    itself. An absence that is stored after `member` was read starts a grace period of its own.
    """
    if member.away_at is not None:
        return False
    return member.socket > 0 or member.entered_at >= now - ACTIVITY_INTERVAL_MS


@dataclass(frozen=True, slots=True)
class GracePolicy:
    """How long (ms) a connection may be lost before it has consequences.

    `shown`: until the room is notified; the others: until the role is lost.
    """

    shown: int
    viewer: int
    guest: int
    host: int

    def of(self, role: Role, *, streams: bool) -> int:
        """Grace period of the role, doubled for a guest who still streams."""
        if role == "host":
            return self.host
        if role in ON_MIC:
            return self.guest * (2 if streams else 1)
        return self.viewer


@dataclass(frozen=True, slots=True)
class MemberSocket:
    """A member's socket in one live session; `at` is when it closed, else 0."""

    user_id: str
    live_id: int
    epoch: str
    number: int
    at: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A newly registered socket: its live session, number, and the member's role."""

    epoch: str
    role: Role
    number: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """A user's room, newest socket number and serving process (None: disconnected)."""

    live_id: int
    epoch: str
    number: int
    process: str | None


@dataclass(frozen=True, slots=True)
class PendingAbsence:
    """A member's absence that is due for a check, claimed by a process."""

    user_id: str
    live_id: int
    epoch: str
    streams: bool
    """Whether the user's video stream still reaches Tencent."""
    claim: int = field(default=0, compare=False)
    """`due_at` as written by the claim; differs if a newer absence has been recorded since."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A membership as Tencent's callbacks need it."""

    live_id: int
    epoch: str
    role: Role
    served: bool
    """Whether the user has had a socket: presence then follows sockets, not callbacks."""
    away: bool
    entered_at: int
    stream: dict[str, Any] | None
    """Last known state of the video stream; see `apply_notification`."""


def apply_notification(
    stored: StreamState | None, name: str, *, on: bool, sequence: str, at: int
) -> tuple[StreamState | None, bool]:
    """Apply a notification: (state to store or None, whether it takes effect).

    A start takes effect if it is newer than the known push and its sequence has not ended; an end
    takes effect if it ends the known push or no push of this stream is known. The state is None if
    there is nothing new to store. `at` in seconds.
    """
    known = stored if stored and stored["name"] == name else None
    ended: list[str] = known["ended"] if known else []
    latest = {"name": name, "sequence": sequence, "at": at, "on": on, "ended": ended}
    if on:
        late = known is not None and _order(at, sequence) <= _order(known["at"], known["sequence"])
        return (None, False) if late or sequence in ended else (latest, True)
    if sequence in ended:
        return None, False
    remembered = [*ended, sequence][-ENDED_SEQUENCES_KEPT:]
    if known and known["sequence"] != sequence:
        return {**known, "ended": remembered}, False
    return {**latest, "ended": remembered}, True


def _order(at: int, sequence: str) -> tuple[int, int]:
    return at, int(sequence) if sequence.isdecimal() else 0
