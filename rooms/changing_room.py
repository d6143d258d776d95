"""A room while it is changed: what a change adds to it, and steps that its rules share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from people.user_events import Invitation, InvitationEnd, InvitationEndReason, InvitationHost
from rooms.dates import DateChange
from rooms.events import (
    GIVEN_UP_REASONS,
    ChatMute,
    LeaveReason,
    MicroLeave,
    MicroRefuse,
    NewEvent,
    NumberedEvent,
    RefuseReason,
    by_deputy,
)
from rooms.members import SEAT_OF_GENDER, Member, Person, Role
from rooms.state import Application, RoomState
from rooms.tickets import SEAT_INVITATION_ENDS

T = TypeVar("T")

MAX_MARKS = 100
"""Guests that a room remembers as taken off the mic, and members as invited by a message. With
more, the one that ends first is dropped; only a host who plays with many accounts has more."""


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
    has_departures: bool = field(default=False, compare=False)
    """A member has left, and still knows the chat group and the streams."""
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
        is_by_host = user_id in self.muted and user_id not in self.deputy_mutes
        others, by_others = without(self.muted, user_id), without(self.deputy_mutes, user_id)
        is_by_deputy = until and deputy and not is_by_host
        self.muted = {**others, user_id: until} if until else others
        self.deputy_mutes = {**by_others, user_id: until} if is_by_deputy else by_others
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
