"""Rooms in the database: opens, loads, changes and saves them as the keeper does."""

from collections.abc import Callable, Sequence

from rooms.members import Person
from rooms.room import Room
from storage.database import Document
from storage.write_batch import WriteBatch
from tests.support.room_builders import HOST, NOW
from tests.support.storage import StoresFixture


async def open_room(
    stores: StoresFixture, *viewers: Person, host: Person = HOST, epoch: str = "e1"
) -> int:
    """Make the host's room live, with these viewers in it; its live_id."""
    live_id, _, _ = await stores.rooms.get_or_create(host)
    await change_room(stores, live_id, lambda room: room.open(host, epoch, "s", NOW), host.user_id)
    for person in viewers:
        await change_room(
            stores, live_id, lambda room, p=person: room.enter(p, NOW), person.user_id
        )
    return live_id


async def load_room(stores: StoresFixture, live_id: int, *user_ids: str) -> Room:
    room = await stores.rooms.load(live_id, user_ids)
    assert room is not None
    return room


async def save_room(
    stores: StoresFixture,
    room: Room,
    now: int = NOW,
    add_writes: Sequence[Callable[[WriteBatch], None]] = (),
) -> None:
    await stores.rooms.save(room, room.numbered(now), add_writes)


async def change_room(
    stores: StoresFixture, live_id: int, rule: Callable[[Room], object], *user_ids: str
) -> None:
    """Load the room with the memberships of these users, change it, and save it."""
    room = await load_room(stores, live_id, *user_ids)
    rule(room)
    await save_room(stores, room)


async def accept_user(
    stores: StoresFixture, live_id: int, person: Person, stream: str = "s"
) -> None:
    """Let a user take the seat of their gender."""
    await change_room(
        stores, live_id, lambda room: room.accept(person, "open", stream, ""), person.user_id
    )


async def remove_user(stores: StoresFixture, live_id: int, person: Person, until: int) -> None:
    """Remove a user and ban them until this time in ms."""
    await change_room(
        stores,
        live_id,
        lambda room: room.remove_user(HOST.user_id, person.user_id, until),
        person.user_id,
    )


async def change_profile(stores: StoresFixture, live_id: int, times: int) -> None:
    """Publish as many profile events, with the nicknames n0, n1, ..."""
    for n in range(times):
        await change_room(
            stores, live_id, lambda room, n=n: room.update_profile(Person(HOST.user_id, f"n{n}"))
        )


async def room_document(stores: StoresFixture, live_id: int) -> Document:
    document = await stores.database.collection("rooms").find_one({"_id": live_id})
    assert document is not None
    return document
