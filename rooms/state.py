"""State of a room, what a change adds to it, and steps that its rules in rooms/room.py share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict, TypeVar

from people.profiles import PublicProfile
from people.user_events import Invitation, InvitationEnd, InvitationEndReason, InvitationHost
from rooms.dates import DateChange
from rooms.events import (
    GIVEN_UP_REASONS,
    ChatMute,
    LeaveReason,
    MicroLeave,
    MicroRefuse,
    MutedUser,
    NewEvent,
    NumberedEvent,
    RefuseReason,
    Visibility,
    by_deputy,
)
from rooms.members import SEAT_OF_GENDER, Member, MemberCounts, Person, Role
from rooms.tickets import SEAT_INVITATION_ENDS, Ticket

T = TypeVar("T")
Status = Literal["live", "paused", "ended"]
PlayUrl = Callable[[str], str]
"""Returns the signed play URL of a stream."""


class SeatShown(PublicProfile):
    area: str
    age: int
    play_url: str
    away: bool


class Applicant(PublicProfile):
    """A user who applied or was invited; `applied_at` is null if only invited."""

    applied_at: int | None
    invited: bool
    expires_at: int


class Snapshot(TypedDict):
    """State of a room when the socket opens; the events that follow change it."""

    status: Status
    visibility: Visibility
    room_name: str
    room_image: str
    group_id: str
    owner: SeatShown
    male: SeatShown | None
    female: SeatShown | None
    applicants: list[Applicant]
    muted: list[MutedUser]
    mute_all: bool
    deputies: list[str]
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
            **self.person.public_profile(),
            "area": self.person.area,
            "age": self.person.age,
            "play_url": play_url(self.stream),
            "away": self.away,
        }


@dataclass(frozen=True, slots=True)
class Application:
    """Application for a seat, invitation to one, or both; times in ms.

    `position` orders the queue.
    """

    person: Person
    position: int
    applied_at: int | None
    invited: bool
    expires_at: int

    def shown(self) -> Applicant:
        return {
            **self.person.public_profile(),
            "applied_at": self.applied_at,
            "invited": self.invited,
            "expires_at": self.expires_at,
        }


@dataclass(slots=True)
class RoomState:
    """What is stored of a room, and the memberships that the present change concerns.

    Values are replaced, never changed in place, so that the state before a change remains as it
    was loaded; a `Mapping` cannot be changed by mistake.
    """

    live_id: int
    group_id: str
    owner: Seat
    epoch: str = ""
    version: int = 0
    revision: int = 0
    """Number of changes without an event that two processes must not save at the same time."""
    visibility: Visibility = "public"
    public_since: int = 0
    """Version at which the live last ceased to be private: newcomers do not see what was before."""
    status: Status = "ended"
    started_at: int = 0
    title: str = ""
    """The room's own name; without one it has its host's."""
    cover: str = ""
    """Address of the room's own picture; without one it shows its host's face."""
    male: Seat | None = None
    female: Seat | None = None
    applications: Mapping[str, Application] = field(default_factory=dict)
    bans: Mapping[str, int] = field(default_factory=dict)
    """User id -> end of the ban (ms)."""
    operator_bans: Mapping[str, int] = field(default_factory=dict)
    """Those of the bans that an operator set."""
    muted: Mapping[str, int] = field(default_factory=dict)
    """User id -> end (ms) of the mute in the chat of the present live."""
    mute_all: bool = False
    """Whether only the host may write in the chat of the present live."""
    needs_invitation_until: Mapping[str, int] = field(default_factory=dict)
    """Guests whom the host took off the mic: user id -> time (ms) until which they need an
    invitation to return."""
    invited_by_message_until: Mapping[str, int] = field(default_factory=dict)
    """Members to whom the host sent a message that may be an invitation: user id -> time (ms)
    until which they may take a seat."""
    stream_bans: Mapping[str, int] = field(default_factory=dict)
    """Members whose video is forbidden for what it has shown: user id -> time (ms) until which they
    may not take a seat."""
    deputies: tuple[str, ...] = ()
    """Users who keep order in all lives of the room, in the order in which the host named them."""
    tickets: Mapping[str, Ticket] = field(default_factory=dict)
    """Invitations into the present live, by their ids."""
    application_count: int = 0
    """Applications in the present or last live."""
    date_count: int = 0
    """Dates in the present or last live."""
    income: int = 0
    """The host's income of gifts in the present or last live."""
    members: Mapping[str, Member] = field(default_factory=dict)

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

    def lasted(self, now: int) -> int:
        """Return the whole seconds since the live began."""
        return max(0, now - self.started_at) // 1000

    def role_of(self, user_id: str) -> Role | None:
        """Return the role in the current live session; None for other users."""
        member = self.members.get(user_id)
        return self.role_in(member) if member else None

    def role_in(self, member: Member) -> Role | None:
        """Return the role of a membership; None if of another room or live session."""
        is_current = self.live and (member.live_id, member.epoch) == (self.live_id, self.epoch)
        return member.role if is_current else None

    def needs_new_group(self, visibility: Visibility) -> bool:
        """Return whether a chat group without the present members is needed for this visibility."""
        return "private" in (visibility, self.visibility)

    def has(self, *user_ids: str) -> bool:
        """Return whether all these users are in the current live session."""
        return all(self.role_of(user_id) is not None for user_id in user_ids)

    def applicants(self, gender: int) -> list[Person]:
        """Return the men or women who have applied, by time of application."""
        queue = [a for a in self.applications.values() if a.person.gender == gender]
        applied = [(a.applied_at, a.position, a.person) for a in queue if a.applied_at is not None]
        return [person for _, _, person in sorted(applied, key=lambda row: row[:2])]

    def is_banned(self, user_id: str, now: int) -> bool:
        """Return whether a ban of the user is in force; `now` in ms."""
        return self.bans.get(user_id, 0) > now

    def active_bans(self, now: int) -> dict[str, int]:
        """Return the bans in force: user id -> end (ms)."""
        return {user_id: until for user_id, until in self.bans.items() if until > now}

    def seat_of(self, user_id: str) -> Seat | None:
        """Return the seat of a guest, not of the host."""
        return next(
            (s for s in (self.male, self.female) if s and s.person.user_id == user_id), None
        )

    def shown_role(self, user_id: str) -> Role:
        """Return the role by seat and application.

        This works also for a user whose membership is not loaded.
        """
        if user_id == self.host_id:
            return "host"
        if seat := self.seat_of(user_id):
            return SEAT_OF_GENDER[seat.person.gender]
        application = self.applications.get(user_id)
        return "applied" if application and application.applied_at is not None else "viewer"

    @property
    def places(self) -> dict[str, Seat | Application]:
        """The seats and applications, by user."""
        seats = [seat for seat in (self.owner, self.male, self.female) if seat]
        return {**self.applications, **{seat.person.user_id: seat for seat in seats}}

    def snapshot(self, counts: MemberCounts, play_url: PlayUrl) -> Snapshot:
        """Return the first frame of a socket that does not resume."""
        queue = sorted(self.applications.values(), key=lambda application: application.position)
        return {
            "status": self.status,
            "visibility": self.visibility,
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
            "deputies": list(self.deputies),
            "audience_count": counts.audience if self.live else 0,
            "num_list": counts.num_list,
        }


@dataclass(slots=True)
class ChangingRoom(RoomState):
    """A room, the state as it was loaded, and what the present change adds to it."""

    events: list[NewEvent] = field(default_factory=list)
    user_events: list[tuple[str, NewEvent]] = field(default_factory=list)
    """Events for the channels of users, saved with the change."""
    date_changes: list[DateChange] = field(default_factory=list)
    """Dates that begin and end."""
    sockets_to_close: dict[str, bool] = field(default_factory=dict, compare=False)
    """Users who left or were removed -> whether their clients may not reconnect. They may have an
    open socket without being members."""
    must_renew: bool = field(default=False, compare=False)
    """A member was put out of a private live, and still knows its chat group and streams."""
    groups_to_destroy: list[str] = field(default_factory=list, compare=False)
    """Chat groups that the room no longer uses, although IM still has them."""
    streams_to_drop: dict[str, str] = field(default_factory=dict, compare=False)
    """Streams whose seat is gone -> the user who gave it up, "" if it was taken away."""
    read_at: int = field(default=0, compare=False)
    """When the room was loaded (ms), by the database's clock, which also numbers sockets."""
    loaded: RoomState = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.loaded = RoomState(*[getattr(self, name) for name in RoomState.__slots__])

    @property
    def changed(self) -> bool:
        """Whether there is anything to save."""
        replaced = (
            getattr(self, name) is not getattr(self.loaded, name) for name in RoomState.__slots__
        )
        return bool(self.events) or any(replaced)

    @property
    def joins_from_elsewhere(self) -> bool:
        """Whether a joining user is still a member of another room; this cannot be saved."""
        return any(
            member.live_id != self.live_id and self.members.get(user_id) is not member
            for user_id, member in self.loaded.members.items()
        )

    @property
    def audience_changed(self) -> bool:
        """Whether the numbers of people in the room may have changed."""
        loaded = self.loaded
        return (self.members, self.applications) != (loaded.members, loaded.applications)

    def numbered(self, now: int) -> list[NumberedEvent]:
        """Return the events of this change with their sequence numbers; `now` in ms."""
        return [
            NumberedEvent(self.epoch, seq, now, event.type, event.data)
            for seq, event in enumerate(self.events, self.version + 1)
        ]

    # ---- seats and applications

    def _vacate(self, user_id: str, reason: LeaveReason) -> None:
        seat = self.seat_of(user_id)
        if seat is None:
            return
        self._change_date(on=False)
        setattr(self, SEAT_OF_GENDER[seat.person.gender], None)
        self.streams_to_drop[seat.stream] = user_id if reason in GIVEN_UP_REASONS else ""
        self._set_role(user_id, "viewer")
        self._add_event("micro_leave", MicroLeave(**seat.person.public_profile(), reason=reason))

    def _change_date(self, *, on: bool) -> None:
        """Begin or end the date of the guests on mic, if they are two."""
        if self.male and self.female:
            guests = self.male.person.user_id, self.female.person.user_id
            self.date_count += on
            self.date_changes.append(DateChange(self.date_count - 1, *guests, on=on))

    def _put_application(self, person: Person, until: int, **changes: Any) -> Application:
        """Change and return the person's application, or a new one that expires at `until`."""
        application = self.applications.get(person.user_id)
        if application is None:
            position = self.version + len(self.events) + 1
            application = Application(person, position, None, invited=False, expires_at=until)
        application = replace(application, **changes)
        self.applications = {**self.applications, person.user_id: application}
        return application

    def _end_application(
        self, user_id: str, reason: RefuseReason, deputy: Person | None = None
    ) -> None:
        application = self.applications.get(user_id)
        if application is None:
            return
        self.applications = without(self.applications, user_id)
        self._set_role(user_id, "viewer")
        face = application.person.public_profile()
        data = MicroRefuse(**face, reason=reason, **by_deputy(deputy))
        self._add_event("micro_refuse", data)
        self._end_seat_invitation(application, SEAT_INVITATION_ENDS[reason])

    # ---- invitations

    def _tell_invitation(
        self, user_id: str, invitation_id: str, kind: Literal["seat", "room"], expires_at: int
    ) -> None:
        host = self.owner.person
        shown = InvitationHost(user_id=host.user_id, nickname=host.nickname, face_url=host.face_url)
        event = Invitation(
            invitation_id=invitation_id,
            kind=kind,
            live_id=self.live_id,
            room_name=self.name,
            host=shown,
            expires_at=expires_at,
        )
        self.user_events.append((user_id, NewEvent("invitation", event)))

    def _tell_ended(self, user_id: str, invitation_id: str, reason: InvitationEndReason) -> None:
        event = InvitationEnd(invitation_id=invitation_id, reason=reason)
        self.user_events.append((user_id, NewEvent("invitation_end", event)))

    def _seat_invitation_id(self, application: Application) -> str:
        return f"{self.epoch}-{application.position}"

    def _end_seat_invitation(self, application: Application, reason: InvitationEndReason) -> None:
        """Tell the user that the invitation is over, if the application is one."""
        if application.invited:
            id_ = self._seat_invitation_id(application)
            self._tell_ended(application.person.user_id, id_, reason)

    # ---- mutes and bans

    def _set_mute(self, user_id: str, until: int, deputy: Person | None = None) -> None:
        """Mute a user until then (ms), or lift the mute (0), with an event if that is new."""
        if self.muted.get(user_id, 0) == until:
            return
        others = without(self.muted, user_id)
        self.muted = {**others, user_id: until} if until else others
        self._add_event("mute", ChatMute(user_id=user_id, until=until, **by_deputy(deputy)))

    def _drop_ban(self, user_id: str) -> None:
        self.bans = without(self.bans, user_id)
        self.operator_bans = without(self.operator_bans, user_id)

    def _forget_marks(self, user_id: str) -> None:
        """Forget whether the user needs, or has by message, an invitation."""
        self.needs_invitation_until = without(self.needs_invitation_until, user_id)
        self.invited_by_message_until = without(self.invited_by_message_until, user_id)

    # ---- memberships

    def _member(self, user_id: str) -> Member | None:
        """Return the membership in the present live."""
        return self.members.get(user_id) if self.role_of(user_id) else None

    def _add_member(self, member: Member) -> None:
        self.members = {**self.members, member.user_id: member}
        if member.user_id in self.sockets_to_close:
            self.sockets_to_close[member.user_id] = False

    def _set_role(self, user_id: str, role: Role) -> None:
        """Change the role in a loaded membership; the store derives that of others."""
        if member := self.members.get(user_id):
            self.members = {**self.members, user_id: replace(member, role=role)}

    # ---- events

    def _add_event(self, type_: str, data: Mapping[str, Any]) -> None:
        self.events.append(NewEvent(type_, data))


def differing(old: Mapping[str, T], new: Mapping[str, T]) -> list[str]:
    """Return the users whose entry was added, replaced or removed."""
    if old is new:
        return []
    return [user_id for user_id in old.keys() | new.keys() if old.get(user_id) != new.get(user_id)]


def without(entries: Mapping[str, T], *user_ids: str) -> Mapping[str, T]:
    """Return the entries of all other users; the same object if these have none."""
    if entries.keys().isdisjoint(user_ids):
        return entries
    return {user_id: entry for user_id, entry in entries.items() if user_id not in user_ids}


def without_ended(entries: Mapping[str, int], now: int) -> Mapping[str, int]:
    """Return the entries that end after `now` (ms)."""
    return without(entries, *(user_id for user_id, until in entries.items() if until <= now))


def with_end(entries: Mapping[str, int], user_id: str, until: int, limit: int) -> Mapping[str, int]:
    """Return the entries with one that ends at `until` (ms).

    Beyond `limit`, the entry that ends first is dropped.
    """
    if user_id not in entries and len(entries) >= limit:
        entries = without(entries, first_to_end(entries))
    return {**entries, user_id: until}


def first_to_end(entries: Mapping[str, int]) -> str:
    return min(entries, key=entries.__getitem__)
