"""Steps that several rules of a room share, and what they record."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

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
from rooms.members import SEAT_OF_GENDER, Member, Person, Role, SeatName
from rooms.state import Application, RoomState, Seat

T = TypeVar("T")

MAX_BANS = 2_000
"""Bans that a room holds, about 40 KB of its document. With more, the one that ends first is
dropped: a ban lasts a day at most, and the host must always be able to remove a user."""
MAX_MARKS = 100
"""Guests that a room remembers as taken off the mic, members as invited by a message, and muted
users. With more, the one that ends first is dropped; only a host who plays with many accounts has
more."""


@dataclass(slots=True)
class Effects:
    """What a change causes beyond the state of the room."""

    sockets_to_close: dict[str, bool] = field(default_factory=dict)
    """Users who left or were removed -> whether their clients may not reconnect. They may have an
    open socket without being members."""
    streams_to_drop: dict[str, str] = field(default_factory=dict)
    """Streams whose seat is gone -> the user who gave it up, "" if it was taken away."""


@dataclass(slots=True)
class ChangingRoom(RoomState):
    """A room, the state as it was loaded, and what the present change adds to it."""

    events: list[RoomEvent] = field(default_factory=list)
    effects: Effects = field(default_factory=Effects, compare=False)
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

    @property
    def next_seq(self) -> int:
        """The number of the next event."""
        return self.version + len(self.events) + 1

    def numbered(self, now: int) -> list[NumberedEvent]:
        """Return the events of this change with their sequence numbers; `now` in ms."""
        return [
            NumberedEvent(self.epoch, seq, now, event.type, event.data)
            for seq, event in enumerate(self.events, self.version + 1)
        ]

    # ---- seats and applications

    def _visible_person(self, user_id: str) -> Person | None:
        place = self.places.get(user_id) if self.live else None
        return place.person if place else None

    def _vacate(self, user_id: str, reason: LeaveReason) -> None:
        seat = self.seat_of(user_id)
        if seat is None:
            return
        self._set_seat(SEAT_OF_GENDER[seat.person.gender], None)
        self.effects.streams_to_drop[seat.stream] = user_id if reason in GIVEN_UP_REASONS else ""
        self._set_role(user_id, "viewer")
        data: MicroLeave = {**seat.person.public_profile(), "reason": reason}
        self._add_event("micro_leave", data)

    def _set_seat(self, name: SeatName, seat: Seat | None) -> None:
        setattr(self, name, seat)

    def _invitations(self, gender: int) -> int:
        invited = [application for application in self.applications.values() if application.invited]
        return sum(application.person.gender == gender for application in invited)

    def _new_application(self, person: Person, expires_at: int) -> Application:
        return Application(person, self.next_seq, None, invited=False, expires_at=expires_at)

    def _set_application(self, application: Application) -> None:
        self.applications = {**self.applications, application.person.user_id: application}

    def _end_application(self, user_id: str, reason: RefuseReason) -> None:
        application = self.applications.get(user_id)
        if application is None:
            return
        self.applications = without(self.applications, user_id)
        self._set_role(user_id, "viewer")
        data: MicroRefuse = {**application.person.public_profile(), "reason": reason}
        self._add_event("micro_refuse", data)

    # ---- mutes and bans

    def _set_mute(self, user_id: str, until: int) -> None:
        """Mute a user until then (ms), or lift the mute (0), with an event if that is new."""
        if self.muted.get(user_id, 0) == until:
            return
        others = without(self.muted, user_id)
        self.muted = {**others, user_id: until} if until else others
        data: ChatMute = {"user_id": user_id, "until": until}
        self._add_event("mute", data)

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
        if member.user_id in self.effects.sockets_to_close:
            self.effects.sockets_to_close[member.user_id] = False

    def _set_role(self, user_id: str, role: Role) -> None:
        """Change the role in a loaded membership; the store derives that of others."""
        if member := self.members.get(user_id):
            self.members = {**self.members, user_id: replace(member, role=role)}

    # ---- events

    def _add_event(self, type_: str, data: Mapping[str, Any]) -> None:
        self.events.append(RoomEvent(type_, data))


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
