"""State of a room; rooms/room.py has the rules by which it changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from people.profiles import PublicProfile
from rooms.events import MutedUser, SeatUrls, Visibility
from rooms.members import SEAT_OF_GENDER, Member, MemberCounts, Person, Role
from rooms.tickets import Ticket

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
    deputy_mutes: Mapping[str, int] = field(default_factory=dict)
    """Those of the mutes that a deputy set."""
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
        for seat in (self.male, self.female):
            if seat and seat.person.user_id == user_id:
                return seat
        return None

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

    def play_urls(self, play_url: PlayUrl) -> SeatUrls:
        return SeatUrls(
            owner=play_url(self.owner.stream),
            male=play_url(self.male.stream) if self.male else None,
            female=play_url(self.female.stream) if self.female else None,
        )

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
