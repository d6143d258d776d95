"""What a room is, and the small steps in which a change of it is recorded.

The rules that decide which steps are taken stand in rooms/room.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rooms.events import Event, Leaving, MicroLeave, MicroRefuse, Numbered, Refusing
from rooms.people import SEAT_OF_GENDER, Member, Person, Role, SeatName

Status = Literal["live", "paused", "ended"]


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody on mic; `stream` is the name of their video stream, new with every seat."""

    person: Person
    stream: str
    away: bool = False
    """The room has been told that their connection is gone."""


@dataclass(frozen=True, slots=True)
class Application:
    """A wish for a seat, or an invitation to one, or both; times in ms, `n` orders the queue."""

    person: Person
    n: int
    applied_at: int | None
    invited: bool
    expires_at: int


@dataclass(slots=True)
class State:
    """The state of a room, with the members whom the change at hand concerns (not all of them),
    and what this change has done to it so far."""

    live_id: int
    group_id: str
    owner: Seat
    epoch: str = ""
    version: int = 0
    status: Status = "ended"
    started_at: int = 0
    cover: str = ""
    male: Seat | None = None
    female: Seat | None = None
    applications: dict[str, Application] = field(default_factory=dict)
    blocked: dict[str, int] = field(default_factory=dict)
    """Who has been put out, until when (ms)."""
    members: dict[str, Member] = field(default_factory=dict)

    # What was read, for the guard of the write.
    loaded: tuple[str, int] = field(init=False)
    seen: dict[str, Member] = field(init=False)

    # What this change has done so far, for the one write that saves it.
    events: list[Event] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    joined: dict[str, Member] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    """Whose place must be what was seen, though nothing of it changes."""
    dropped: set[str] = field(default_factory=set)
    """Streams that nobody is to push any more."""
    barred: set[str] = field(default_factory=set, compare=False)
    """Who is not only out, but to stay out."""
    absent: set[str] = field(default_factory=set, compare=False)
    """Who was to leave and is not here: their socket, if there is one, does not know."""

    def __post_init__(self) -> None:
        self.loaded = (self.epoch, self.version)
        self.seen = dict(self.members)

    # ---- what the room is

    @property
    def host_id(self) -> str:
        return self.owner.person.user_id

    @property
    def name(self) -> str:
        return self.owner.person.nickname

    @property
    def image(self) -> str:
        return self.cover or self.owner.person.face_url

    @property
    def live(self) -> bool:
        return self.status != "ended"

    @property
    def changed(self) -> bool:
        """Whether there is anything to save, in the room or among its members."""
        return bool(self.events or self.touched or self.joined or self.roles or self.gone)

    @property
    def split(self) -> bool:
        """Whether somebody joins who has a place in another room: that cannot be saved."""
        places = [self.seen.get(user_id) for user_id in self.joined]
        return any(place and place.live_id != self.live_id for place in places)

    def lasted(self, now: int) -> int:
        """Whole seconds since the live began."""
        return max(0, now - self.started_at) // 1000

    def role_of(self, user_id: str) -> Role | None:
        """What this person is in the present life of the room; None when not in it."""
        member = self._member(user_id)
        return member.role if member else None

    def role_in(self, place: Member) -> Role | None:
        """What somebody is in it by their place, wherever that is."""
        return place.role if self._holds(place) else None

    def applicants(self, gender: int) -> list[Person]:
        """The men or women who have applied, by time of application."""
        asked = [a for a in self.applications.values() if a.person.gender == gender]
        waiting = [(a.applied_at, a.n, a.person) for a in asked if a.applied_at is not None]
        return [person for _, _, person in sorted(waiting, key=lambda it: it[:2])]

    def keeps_out(self, user_id: str, now: int) -> bool:
        """Whether somebody has been put out and the time of it is not over."""
        return self.blocked.get(user_id, 0) > now

    def kept_out(self, now: int) -> dict[str, int]:
        """Who is kept out, until when (ms)."""
        return {user_id: until for user_id, until in self.blocked.items() if until > now}

    def seat_of(self, user_id: str) -> Seat | None:
        """The seat of a guest."""
        return next(
            (s for s in (self.male, self.female) if s and s.person.user_id == user_id), None
        )

    # ---- what is saved

    def numbered(self, now: int) -> list[Numbered]:
        """What this change has said, with its numbers; `now` in ms."""
        return [
            Numbered(self.epoch, seq, now, event.type, event.data)
            for seq, event in enumerate(self.events, self.version + 1)
        ]

    # ---- the small steps

    @property
    def _next(self) -> int:
        return self.version + len(self.events) + 1

    def _member(self, user_id: str) -> Member | None:
        member = self.members.get(user_id)
        return member if member and self._holds(member) else None

    def _holds(self, place: Member) -> bool:
        return self.live and (place.live_id, place.epoch) == (self.live_id, self.epoch)

    def _sit(self, name: SeatName, seat: Seat | None) -> None:
        setattr(self, name, seat)
        self.touched.add(name)

    def _vacate(self, user_id: str, reason: Leaving) -> None:
        seat = self.seat_of(user_id)
        if seat is None:
            return
        self._sit(SEAT_OF_GENDER[seat.person.gender], None)
        self.dropped.add(seat.stream)
        self._become(user_id, "viewer")
        said: MicroLeave = {**seat.person.face(), "reason": reason}
        self._say("micro_leave", said)

    def _queue(self, asked: Application) -> None:
        self.applications[asked.person.user_id] = asked
        self.touched.add(f"applications.{asked.person.user_id}")

    def _withdraw(self, user_id: str, reason: Refusing) -> None:
        asked = self.applications.pop(user_id, None)
        if asked is None:
            return
        self.touched.add(f"applications.{user_id}")
        self._become(user_id, "viewer")
        said: MicroRefuse = {**asked.person.face(), "reason": reason}
        self._say("micro_refuse", said)

    def _join(self, member: Member) -> None:
        self.members[member.user_id] = self.joined[member.user_id] = member

    def _become(self, user_id: str, role: Role) -> None:
        self.roles[user_id] = role
        if member := self.members.get(user_id):
            self.members[user_id] = replace(member, role=role)

    def _say(self, type_: str, data: Mapping[str, Any]) -> None:
        self.events.append(Event(type_, data))
