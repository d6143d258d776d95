"""Members in the database: their sockets, absences and streams as PresenceStore stores them."""

from typing import Any

from rooms.members import Member, MemberSocket, PendingAbsence, Person
from tests.support.room_builders import NOW
from tests.support.storage import StoresFixture

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
    arrival = await stores.presence.register_socket(person.user_id, live_id, process, now)
    assert arrival is not None
    return MemberSocket(person.user_id, live_id, arrival.epoch, arrival.number)


def closed(socket: MemberSocket, at: int = LATER) -> MemberSocket:
    return MemberSocket(socket.user_id, socket.live_id, socket.epoch, socket.number, at)


async def disconnect(stores: StoresFixture, person: Person, live_id: int, at: int = LATER) -> None:
    """Open a socket and close it at `at`."""
    await stores.presence.mark_disconnected(
        [closed(await register_socket(stores, person, live_id), at)]
    )


def pending_absence(
    person: Person, live_id: int, *, streams: bool = False, epoch: str = "e1"
) -> PendingAbsence:
    return PendingAbsence(person.user_id, live_id, epoch, streams)


def stream_state(name: str = "s", *, on: bool) -> dict[str, Any]:
    return {"name": name, "sequence": "7", "at": NOW // 1000, "on": on, "ended": []}
