"""Users, and rooms with some of them inside, without a database."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, get_type_hints

from rooms.events import EVENT_PAYLOADS, NewEvent, NumberedEvent
from rooms.members import GracePolicy, Member, Person, Role
from rooms.room import Room
from rooms.state import RoomState, Seat

NOW = 1_690_000_000_000
EPOCH = "epoch-1"
STORED = frozenset(RoomState.__slots__)
"""The fields of a room that are read from the database, without those that record changes."""
GRACE = GracePolicy(shown=3_000, viewer=60_000, guest=45_000, host=120_000)

HOST = Person("10000000", "hong", "https://faces/host", 2, "310000", 40)
BERT = Person("10000001", "bert", "https://faces/bert", 1, "110000", 30)
CARL = Person("10000002", "carl", "https://faces/carl", 1, "120000", 31)
ANNA = Person("10000003", "anna", "https://faces/anna", 2, "130000", 28)
DORA = Person("10000004", "dora", "https://faces/dora", 2, "140000", 29)
KIM = Person("10000005", "kim", "https://faces/kim")
STRANGER = Person("10000009", "tom", "https://faces/tom", 1)


def new_room(cover: str = "") -> Room:
    """A room that has never been live."""
    return Room(1, "qlive1", Seat(HOST, ""), cover=cover)


def live_room(*viewers: Person, cover: str = "") -> Room:
    """A live of HOST with these viewers, loaded with the memberships of all."""
    room = new_room(cover)
    room.open(HOST, EPOCH, "stream-host", NOW)
    for person in viewers:
        room.enter(person, NOW)
    return reloaded(room)


def room_with_guests(*guests: Person, watching: tuple[Person, ...] = ()) -> Room:
    """A live with these guests on mic, on streams named after them."""
    room = live_room(*guests, *watching)
    for person in guests:
        room.accept(person, "open", f"stream-{person.nickname}", "")
    return reloaded(room)


def room_with_applicants(*people: Person) -> Room:
    """A live in which these users have applied, one second after another."""
    room = live_room(*people)
    for n, person in enumerate(people):
        room.apply(person, NOW + n * 1000)
    return reloaded(room)


def room_with_everyone() -> Room:
    """A live with BERT on mic, CARL who applied, ANNA who is invited, and DORA who watches."""
    room = room_with_guests(BERT, watching=(CARL, ANNA, DORA))
    room.apply(CARL, NOW)
    room.invite(HOST.user_id, ANNA, NOW)
    return reloaded(room)


def reloaded(room: Room) -> Room:
    """The room as it is loaded after its changes were saved."""
    stored = {name: getattr(room, name) for name in STORED}
    return Room(**{**stored, "version": room.version + len(room.events)})


def room_with_away(room: Room, person: Person, at: int = NOW) -> Room:
    """The reloaded room, with the user disconnected since `at`."""
    room = reloaded(room)
    members = dict(room.members)
    if member := members.get(person.user_id):
        members[person.user_id] = replace(member, away_at=at)
    return replace(room, members=members)


def room_without(room: Room, *people: Person) -> Room:
    """The reloaded room, without the memberships of these users."""
    room = reloaded(room)
    left = {person.user_id for person in people}
    return replace(room, members={k: v for k, v in room.members.items() if k not in left})


def membership(
    person: Person, live_id: int = 1, epoch: str = EPOCH, role: Role = "viewer"
) -> Member:
    return Member(person.user_id, live_id, epoch, person.gender, role, NOW)


def changed(room: Room) -> set[str]:
    """The fields that differ from the room as it was loaded."""
    return {name for name in STORED if getattr(room, name) != getattr(room.loaded, name)}


def left(room: Room) -> set[str]:
    """The members who have left since the room was loaded."""
    return {*room.loaded.members} - {*room.members}


def new_roles(room: Room) -> dict[str, Role]:
    """The users with another role than when the room was loaded, by seat and application."""
    users = room.loaded.places.keys() | room.places.keys()
    roles = {user_id: room.shown_role(user_id) for user_id in users}
    return {user: role for user, role in roles.items() if role != room.loaded.shown_role(user)}


def events_of(room: Room) -> list[tuple[str, Mapping[str, Any]]]:
    check_payloads(room.events)
    return [(event.type, event.data) for event in room.events]


def check_payloads(events: Iterable[NewEvent | NumberedEvent]) -> None:
    """Every event has the fields that its type requires, and no others than it declares."""
    for event in events:
        payload: Any = EVENT_PAYLOADS[event.type]
        assert payload.__required_keys__ <= event.data.keys(), event
        assert event.data.keys() <= get_type_hints(payload).keys(), event


def with_deputies(room: Room, *deputies: Person) -> Room:
    return replace(reloaded(room), deputies=tuple(person.user_id for person in deputies))
