"""Who plays in these tests, rooms with some of them inside, and what a change has said."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rooms.people import Member, Person, Role
from rooms.presence import Patience
from rooms.room import Room, Seat

NOW = 1_690_000_000_000
EPOCH = "epoch-1"
PATIENCE = Patience(shown=3_000, viewer=60_000, guest=45_000, host=120_000)

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
    """A live of HOST, loaded with the places of everybody inside."""
    room = new_room(cover)
    room.open(HOST, EPOCH, "stream-host", NOW)
    for person in viewers:
        room.enter(person, NOW)
    return after(room)


def seated(*guests: Person, watching: tuple[Person, ...] = ()) -> Room:
    """A live in which these are on mic, on a stream named after them."""
    room = live_room(*guests, *watching)
    for person in guests:
        room.accept(person, "open", f"stream-{person.nickname}", "")
    return after(room)


def applied(*people: Person, seconds: float = 600) -> Room:
    """A live in which these have applied, one second after the other."""
    room = live_room(*people)
    for n, person in enumerate(people):
        room.apply(person, NOW + n * 1000, seconds)
    return after(room)


def after(room: Room) -> Room:
    """The room as the next change finds it when this one has been saved."""
    places = {who: place for who, place in room.members.items() if who not in room.gone}
    return Room(
        room.live_id,
        room.group_id,
        room.owner,
        room.epoch,
        room.version + len(room.events),
        room.status,
        room.started_at,
        room.cover,
        room.male,
        room.female,
        dict(room.applications),
        dict(room.blocked),
        places,
    )


def away(room: Room, person: Person, at: int = NOW) -> Room:
    """The room as it is loaded when this person's connection is gone since `at`."""
    room = after(room)
    members = dict(room.members)
    if place := members.get(person.user_id):
        members[person.user_id] = replace(place, away_at=at)
    return replace(room, members=members)


def without(room: Room, *people: Person) -> Room:
    """The room loaded without the places of these."""
    room = after(room)
    gone = {person.user_id for person in people}
    return replace(room, members={k: v for k, v in room.members.items() if k not in gone})


def place(person: Person, live_id: int = 1, epoch: str = EPOCH, role: Role = "viewer") -> Member:
    return Member(person.user_id, live_id, epoch, person.gender, role, NOW)


def said(room: Room) -> list[tuple[str, Mapping[str, Any]]]:
    return [(event.type, event.data) for event in room.events]
