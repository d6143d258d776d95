"""Rooms and members in the database, changed as `RoomChanges` and PresenceStore change them."""

from collections.abc import Callable, Sequence
from typing import Any

from rooms.members import Member, MemberSocket, Person
from rooms.room import Room
from services.rooms.consequences import consequences
from storage.database import Document
from storage.rooms.rooms import add_room_writes
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
    """Save the room with all that follows from its change, as RoomChanges does."""
    batch, events = WriteBatch(), room.numbered(now)
    add_room_writes(room, events, batch)
    for add in add_writes:
        add(batch)
    for add_consequence in consequences(stores):
        await add_consequence(room, events, batch)
    if len(batch):
        await stores.rooms.commit(batch)


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
        lambda room: room.ban(person, until, HOST),
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


PROCESS, OTHER_PROCESS = "process-1", "process-2"
LATER = NOW + 1_000


async def member_row(stores: StoresFixture, person: Person) -> dict[str, Any]:
    found = await stores.database.collection("members").find_one({"_id": person.user_id})
    assert found is not None
    return found


async def member_fields(stores: StoresFixture, person: Person, *names: str) -> tuple[Any, ...]:
    """The stored values of these fields, None for a missing one."""
    found = await member_row(stores, person)
    return tuple(found.get(name) for name in names)


async def find_membership(stores: StoresFixture, person: Person) -> Member:
    found = await stores.members.get(person.user_id)
    assert found is not None
    return found


async def register_socket(
    stores: StoresFixture, person: Person, live_id: int, process: str = PROCESS, now: int = NOW
) -> MemberSocket:
    member = await stores.presence.register_socket(person.user_id, live_id, process, now)
    assert member is not None
    return MemberSocket(person.user_id, live_id, member.epoch, member.socket)


def closed(socket: MemberSocket, at: int = LATER) -> MemberSocket:
    return MemberSocket(socket.user_id, socket.live_id, socket.epoch, socket.number, at)


async def disconnect(stores: StoresFixture, person: Person, live_id: int, at: int = LATER) -> None:
    """Open a socket and close it at `at`."""
    await stores.presence.mark_disconnected(
        [closed(await register_socket(stores, person, live_id), at)]
    )


def stream_state(name: str = "s", *, on: bool) -> dict[str, Any]:
    return {"name": name, "sequence": "7", "at": NOW // 1000, "on": on, "ended": []}
