"""State of a room, its snapshot for clients, and private steps that record changes to it.

The rules that use these steps are in rooms/room.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict

from rooms.events import (
    GIVEN_UP_REASONS,
    ChatMute,
    LeaveReason,
    MicroLeave,
    MicroRefuse,
    NumberedEvent,
    RefuseReason,
    RoomEvent,
)
from rooms.members import (
    SEAT_OF_GENDER,
    Face,
    Member,
    MemberCounts,
    Person,
    Role,
    SeatName,
)

Status = Literal["live", "paused", "ended"]
PlayUrl = Callable[[str], str]
"""Returns the signed play URL of a stream."""
Mark = Literal["removed", "admitted"]
MARKS: tuple[Mark, ...] = ("removed", "admitted")
MAX_BANS = 2_000
"""Bans that a room holds, about 40 KB of its document. With more, the one that ends first is
dropped: a ban lasts a day at most, and the host must always be able to remove a user."""
MAX_MARKS = 100
"""Guests that a room remembers as taken off the mic, members as admitted by a message, and muted
users. With more, the mark that ends first is dropped; only a host who plays with many accounts has
more."""


class SeatShown(Face):
    area: str
    age: int
    play_url: str
    away: bool


class Applicant(Face):
    """A user who applied or was invited; `applied_at` is null if only invited."""

    applied_at: int | None
    invited: bool
    expires_at: int


class Snapshot(TypedDict):
    """State of a room when the socket opens; the events that follow change it."""

    status: Status
    room_name: str
    room_image: str
    group_id: str
    owner: SeatShown
    male: SeatShown | None
    female: SeatShown | None
    applicants: list[Applicant]
    muted: list[ChatMute]
    mute_all: bool
    audience_count: int
    num_list: list[int]


@dataclass(frozen=True, slots=True)
class Seat:
    """A user on mic; `stream` names their video, new for every seat."""

    person: Person
    stream: str
    away: bool = False
    """Whether the room has been notified that the user's connection is lost."""

    def shown(self, play_url: PlayUrl) -> SeatShown:
        return {
            **self.person.face(),
            "area": self.person.area,
            "age": self.person.age,
            "play_url": play_url(self.stream),
            "away": self.away,
        }


@dataclass(frozen=True, slots=True)
class Application:
    """Application for a seat, invitation to one, or both; times in ms.

    `n` orders the queue.
    """

    person: Person
    n: int
    applied_at: int | None
    invited: bool
    expires_at: int

    def shown(self) -> Applicant:
        return {
            **self.person.face(),
            "applied_at": self.applied_at,
            "invited": self.invited,
            "expires_at": self.expires_at,
        }


@dataclass(slots=True)
class RoomState:
    """State of a room, with the changes made since it was loaded.

    `members` has only the memberships that the current change concerns, not all of the room.
    """

    live_id: int
    group_id: str
    owner: Seat
    epoch: str = ""
    version: int = 0
    status: Status = "ended"
    started_at: int = 0
    title: str = ""
    """The room's own name; without one it has its host's."""
    cover: str = ""
    """Address of the room's own picture; without one it shows its host's face."""
    male: Seat | None = None
    female: Seat | None = None
    applications: dict[str, Application] = field(default_factory=dict)
    blocked: dict[str, int] = field(default_factory=dict)
    """User id -> end of the ban (ms)."""
    barred: dict[str, int] = field(default_factory=dict)
    """Those of the bans that an operator set."""
    muted: dict[str, int] = field(default_factory=dict)
    """User id -> end (ms) of the mute in the chat of the present live."""
    mute_all: bool = False
    """Whether only the host may write in the chat of the present live."""
    members: dict[str, Member] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    """Guests whom the host took off the mic: user id -> time (ms) until which they need an
    invitation to return."""
    admitted: dict[str, int] = field(default_factory=dict)
    """Members to whom the host sent a message that may be an invitation: user id -> time (ms)
    until which they may take a seat."""

    # As loaded: the guarded write compares these with what is stored.
    loaded: tuple[str, int] = field(init=False)
    loaded_group: str = field(init=False)
    seen: dict[str, Member] = field(init=False)

    # Recorded by the current change, to be saved in one write.
    events: list[RoomEvent] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    joined: dict[str, Member] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)
    """Users whose membership version must still be the loaded one, though its role is kept."""
    dropped: set[str] = field(default_factory=set)
    """Streams whose push is to be cut: their seat is gone."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Dropped streams whose users left or went offline: stream -> user id."""
    banned_until_left: set[str] = field(default_factory=set, compare=False)
    """Removed users whose sockets are all to be closed, with a code that forbids reconnecting."""
    not_present: set[str] = field(default_factory=set, compare=False)
    """Users to remove who have no membership here; they may still have an open socket."""
    read_at: int = field(default=0, compare=False)
    """When the room was loaded (ms), by the database's clock, which also numbers sockets."""

    def __post_init__(self) -> None:
        self.loaded = (self.epoch, self.version)
        self.loaded_group = self.group_id
        self.seen = dict(self.members)

    # ---- queries

    @property
    def host_id(self) -> str:
        return self.owner.person.user_id

    @property
    def name(self) -> str:
        return self.title or self.owner.person.nickname

    @property
    def image(self) -> str:
        return self.cover or self.owner.person.face_url

    @property
    def live(self) -> bool:
        return self.status != "ended"

    @property
    def changed(self) -> bool:
        """Whether the room or a membership has anything to save."""
        return bool(self.events or self.touched or self.joined or self.roles or self.gone)

    @property
    def split(self) -> bool:
        """Whether a joining user is a member of another room; not savable."""
        memberships = [self.seen.get(user_id) for user_id in self.joined]
        return any(member and member.live_id != self.live_id for member in memberships)

    def lasted(self, now: int) -> int:
        """Whole seconds since the live began."""
        return max(0, now - self.started_at) // 1000

    def role_of(self, user_id: str) -> Role | None:
        """Role in the current live session; None for other users."""
        member = self._member(user_id)
        return member.role if member else None

    def role_in(self, member: Member) -> Role | None:
        """Role of a membership; None if of another room or live session."""
        return member.role if self._is_current(member) else None

    def has(self, *user_ids: str) -> bool:
        """Whether all these users are in the current live session."""
        return all(self.role_of(user_id) is not None for user_id in user_ids)

    def applicants(self, gender: int) -> list[Person]:
        """The men or women who have applied, by time of application."""
        queue = [a for a in self.applications.values() if a.person.gender == gender]
        applied = [(a.applied_at, a.n, a.person) for a in queue if a.applied_at is not None]
        return [person for _, _, person in sorted(applied, key=lambda row: row[:2])]

    def is_banned(self, user_id: str, now: int) -> bool:
        """Whether a ban of the user is in force; `now` in ms."""
        return self.blocked.get(user_id, 0) > now

    def active_bans(self, now: int) -> dict[str, int]:
        """Bans in force: user id -> end (ms)."""
        return {user_id: until for user_id, until in self.blocked.items() if until > now}

    def seat_of(self, user_id: str) -> Seat | None:
        """The seat of a guest, not of the host."""
        return next(
            (s for s in (self.male, self.female) if s and s.person.user_id == user_id), None
        )

    def snapshot(self, counts: MemberCounts, play_url: PlayUrl) -> Snapshot:
        """The first frame of a socket that does not resume."""
        queue = sorted(self.applications.values(), key=lambda application: application.n)
        return {
            "status": self.status,
            "room_name": self.name,
            "room_image": self.image,
            "group_id": self.group_id,
            "owner": self.owner.shown(play_url),
            "male": self.male.shown(play_url) if self.male else None,
            "female": self.female.shown(play_url) if self.female else None,
            "applicants": [application.shown() for application in queue],
            "muted": [
                {"user_id": user_id, "until": until}
                for user_id, until in sorted(self.muted.items())
            ],
            "mute_all": self.mute_all,
            "audience_count": counts.audience if self.live else 0,
            "num_list": counts.num_list,
        }

    # ---- saving

    def numbered(self, now: int) -> list[NumberedEvent]:
        """The events of this change with their sequence numbers; `now` in ms."""
        return [
            NumberedEvent(self.epoch, seq, now, event.type, event.data)
            for seq, event in enumerate(self.events, self.version + 1)
        ]

    # ---- steps of a change

    @property
    def _next_seq(self) -> int:
        return self.version + len(self.events) + 1

    def _member(self, user_id: str) -> Member | None:
        member = self.members.get(user_id)
        return member if member and self._is_current(member) else None

    def _is_current(self, member: Member) -> bool:
        return self.live and (member.live_id, member.epoch) == (self.live_id, self.epoch)

    def _visible_person(self, user_id: str) -> Person | None:
        if not self.live:
            return None
        shown = [self.owner, self.male, self.female, self.applications.get(user_id)]
        return next((s.person for s in shown if s and s.person.user_id == user_id), None)

    def _set_seat(self, name: SeatName, seat: Seat | None) -> None:
        setattr(self, name, seat)
        self.touched.add(name)

    def _vacate(self, user_id: str, reason: LeaveReason) -> None:
        seat = self.seat_of(user_id)
        if seat is None:
            return
        self._set_seat(SEAT_OF_GENDER[seat.person.gender], None)
        self.dropped.add(seat.stream)
        if reason in GIVEN_UP_REASONS:
            self.given_up[seat.stream] = user_id
        self._set_role(user_id, "viewer")
        data: MicroLeave = {**seat.person.face(), "reason": reason}
        self._add_event("micro_leave", data)

    def _add_ban(self, user_id: str, until: int) -> None:
        if user_id not in self.blocked and len(self.blocked) >= MAX_BANS:
            self.lift_ban(min(self.blocked, key=self.blocked.__getitem__))
        self.blocked[user_id] = until
        self.touched.add(f"blocked.{user_id}")

    def lift_ban(self, user_id: str) -> None:
        """Lift a ban; no error for a user who is not banned."""
        if self.blocked.pop(user_id, None) is not None:
            self.touched.add(f"blocked.{user_id}")
        if self.barred.pop(user_id, None) is not None:
            self.touched.add(f"barred.{user_id}")

    def _set_mute(self, user_id: str, until: int) -> None:
        """Mute a user until then (ms), or lift the mute (0); there is an event if that is new."""
        if self.muted.get(user_id, 0) == until:
            return
        if until:
            self.muted[user_id] = until
        else:
            del self.muted[user_id]
        self.touched.add(f"muted.{user_id}")
        data: ChatMute = {"user_id": user_id, "until": until}
        self._add_event("mute", data)

    def _end_mutes(self) -> None:
        """With the live, whose last event says so."""
        self.touched |= {f"muted.{user_id}" for user_id in self.muted}
        self.muted = {}
        if self.mute_all:
            self.mute_all = False
            self.touched.add("mute_all")

    def _mark(self, name: Mark, user_id: str, until: int) -> None:
        marks = self._marks(name)
        if user_id not in marks and len(marks) >= MAX_MARKS:
            self._unmark(name, min(marks, key=marks.__getitem__))
        marks[user_id] = until
        self.touched.add(f"{name}.{user_id}")

    def _unmark(self, name: Mark, *user_ids: str) -> None:
        for user_id in user_ids:
            if self._marks(name).pop(user_id, None) is not None:
                self.touched.add(f"{name}.{user_id}")

    def _unmark_all(self, user_id: str) -> None:
        for name in MARKS:
            self._unmark(name, user_id)

    def _marks(self, name: Mark) -> dict[str, int]:
        return self.removed if name == "removed" else self.admitted

    def _invitations(self, gender: int) -> int:
        invited = [application for application in self.applications.values() if application.invited]
        return sum(application.person.gender == gender for application in invited)

    def _new_application(self, person: Person, expires_at: int) -> Application:
        return Application(person, self._next_seq, None, invited=False, expires_at=expires_at)

    def _set_application(self, application: Application) -> None:
        self.applications[application.person.user_id] = application
        self.touched.add(f"applications.{application.person.user_id}")

    def _end_application(self, user_id: str, reason: RefuseReason) -> None:
        application = self.applications.pop(user_id, None)
        if application is None:
            return
        self.touched.add(f"applications.{user_id}")
        self._set_role(user_id, "viewer")
        data: MicroRefuse = {**application.person.face(), "reason": reason}
        self._add_event("micro_refuse", data)

    def _add_member(self, member: Member) -> None:
        user_id = member.user_id
        self.members[user_id] = self.joined[user_id] = member
        self.banned_until_left.discard(user_id)
        if user_id in self.gone:  # left and back in one batch: the sockets of before still close
            self.gone.discard(user_id)
            self.not_present.add(user_id)

    def _remove_membership(self, user_id: str) -> None:
        del self.members[user_id]
        self.roles.pop(user_id, None)
        is_new, seen = self.joined.pop(user_id, None), self.seen.get(user_id)
        if is_new and (seen is None or seen.live_id != self.live_id):
            self.not_present.add(user_id)  # entered in the same batch: nothing is stored yet
        else:
            self.gone.add(user_id)

    def _set_role(self, user_id: str, role: Role) -> None:
        if joining := self.joined.get(user_id):
            self.members[user_id] = self.joined[user_id] = replace(joining, role=role)
            return
        self.roles[user_id] = role
        if member := self.members.get(user_id):
            self.members[user_id] = replace(member, role=role)

    def _add_event(self, type_: str, data: Mapping[str, Any]) -> None:
        self.events.append(RoomEvent(type_, data))
