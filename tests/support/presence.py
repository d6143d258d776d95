"""Presence on a real MongoDB: a live room, its users, and several processes."""

import time
from dataclasses import dataclass
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from rooms.members import GracePolicy, MemberSocket, Person
from rooms.room import Room
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
from services.rooms.presence import Lease, Presence
from tests.support.room_builders import EPOCH, GRACE
from tests.support.room_changes import RecordingListener
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import accept_user, open_room

AN_HOUR = 3_600.0


class MovedClock:
    """The monotonic clock, moved by a test."""

    def __init__(self) -> None:
        self._moved = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._moved

    def move(self, seconds: float) -> None:
        self._moved += seconds


@dataclass
class Process:
    """The lease and presence of a process."""

    presence: Presence
    lease: Lease
    name: str
    listener: RecordingListener
    clock: MovedClock

    async def hold_lease(self, seconds: float) -> None:
        """Let the lease lapse, and be held for `seconds` from then on."""
        term = self.lease.seconds
        self.clock.move(term + 1)
        await self.lease.renew()
        self.clock.move(seconds)
        self.lease.seconds = max(term, seconds + 60)  # also on a busy machine
        await self.lease.renew()
        self.lease.seconds = term
        await self.lease.renew()


class PresenceFixture:
    """A live room of HOST in MongoDB."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.database, self.members, self.rooms = stores.database, stores.members, stores.rooms
        self.presence_store = stores.presence
        self.room_changes = RoomChanges(stores, consequences(stores), RecordingListener())
        self.live_id = 0

    async def process(self, name: str, *, lease: float = 15, grace: GracePolicy = GRACE) -> Process:
        """A process that has held its lease for an hour."""
        process = self.new_process(name, lease=lease, grace=grace)
        await process.hold_lease(AN_HOUR)
        return process

    def new_process(self, name: str, *, lease: float = 15, grace: GracePolicy = GRACE) -> Process:
        """A process without a lease in the database."""
        listener, clock = RecordingListener(), MovedClock()
        own_lease = Lease(self.presence_store, name, lease, clock)
        room_changes = RoomChanges(self.stores, consequences(self.stores), listener)
        presence = Presence(self.stores, room_changes, own_lease, grace)
        return Process(presence, own_lease, name, listener, clock)

    async def enter(self, *people: Person) -> None:
        for person in people:
            await self.room_changes.enter(self.live_id, person)

    async def seat(self, person: Person) -> None:
        await self.enter(person)
        await accept_user(self.stores, self.live_id, person, f"{person.user_id}_s")

    async def connect(self, process: Process, person: Person) -> MemberSocket:
        member = await process.presence.connect(person.user_id, self.live_id)
        assert member is not None
        return MemberSocket(person.user_id, self.live_id, member.epoch, member.socket)

    async def connected(
        self, person: Person, *, seated: bool = False
    ) -> tuple[Process, MemberSocket]:
        """Let a person enter or take a seat; returns the process "one" and their socket there."""
        await (self.seat(person) if seated else self.enter(person))
        process = await self.process("one")
        return process, await self.connect(process, person)

    async def see(self, process: Process, person: Person) -> None:
        """A sign of life by an HTTP call, which has just loaded the room."""
        await process.presence.seen(person.user_id, await self.load(person))

    async def load(self, person: Person) -> Room:
        """The room with this person's membership."""
        return await self.room_changes.load(self.live_id, person.user_id)

    async def row(self, person: Person) -> dict[str, Any]:
        """The stored membership; {} if there is none."""
        document = await self.database.collection("members").find_one({"_id": person.user_id})
        return dict(document or {})

    async def is_away(self, person: Person) -> bool:
        return (await self.row(person))["away_at"] is not None

    async def set(self, person: Person, **fields: Any) -> None:
        await self.database.collection("members").update_one(
            {"_id": person.user_id}, {"$set": fields}
        )

    async def expire_lease(self, process: Process) -> None:
        """Lets the stored lease expire, unknown to the process."""
        update = [{"$set": {"expires_at": {"$subtract": ["$$NOW", 1]}}}]
        await self.database.collection("processes").update_one({"_id": process.name}, update)


@pytest.fixture
def presences(io_loop: IOLoop, stores: StoresFixture) -> PresenceFixture:
    fixture = PresenceFixture(stores)
    fixture.live_id = io_loop.run_sync(lambda: open_room(stores, epoch=EPOCH))
    return fixture
