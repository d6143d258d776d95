"""Presence on a real MongoDB: a live room, its users, and several processes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect
from tornado.ioloop import IOLoop

from core.clock import now_ms
from realtime.bus import Bus
from rooms.members import GracePolicy, Member, MemberSocket, Person
from rooms.room import Room
from services.room_changes import RoomChanges
from services.rooms.presence import Lease, Presence
from services.rooms.socket_reconciler import SocketReconciler
from storage.rooms.presence import PresenceStore
from tests.support.room_builders import EPOCH, GRACE, HOST
from tests.support.storage import RoomListenerSpy, StoresFixture

AN_HOUR = 3_600.0
NOT_USED: Any = None


class FailingPresenceStore(PresenceStore):
    """A PresenceStore that can lose MongoDB, the reply to a write, or every race."""

    unavailable = False
    reply_lost = False
    always_loses = False

    async def register_socket(
        self, user_id: str, live_id: int, process: str, now: int
    ) -> Member | None:
        member = await super().register_socket(user_id, live_id, process, now)
        if self.reply_lost:
            raise AutoReconnect("the reply is lost")
        return member

    async def mark_disconnected(self, sockets: Sequence[MemberSocket]) -> None:
        if self.unavailable:
            raise AutoReconnect("not now")
        await super().mark_disconnected(sockets)

    async def record_stream(self, member: Member, stream: dict[str, Any], now: int) -> bool:
        return False if self.always_loses else await super().record_stream(member, stream, now)


class MovedClock:
    """The monotonic clock, moved by a test."""

    def __init__(self) -> None:
        self._moved = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._moved

    def move(self, seconds: float) -> None:
        self._moved += seconds


class ProcessHub:
    """The sockets of a process, none of which has a token or has joined a room."""

    with_token = members = ()

    def __init__(self) -> None:
        self.member_sockets: list[MemberSocket] = []

    def mark_all_audiences_changed(self) -> None:
        """There is no audience."""


class NoEvictions:
    async def receive(self) -> None:
        """There are no stored evictions."""


@dataclass
class Process:
    """The lease and presence of a process, and the sockets that it serves."""

    presence: Presence
    lease: Lease
    reconciler: SocketReconciler
    name: str
    listener: RoomListenerSpy
    sockets: list[MemberSocket]
    clock: MovedClock

    async def hold_lease(self, seconds: float) -> None:
        """Let the lease lapse, and be held for `seconds` from then on."""
        term = self.lease.seconds
        self.clock.move(term + 1)
        await self.lease.renew()
        self.clock.move(seconds)
        self.lease.seconds = max(term, seconds + 1)
        await self.lease.renew()
        self.lease.seconds = term
        await self.lease.renew()


class PresenceFixture:
    """A live room of HOST in MongoDB."""

    def __init__(self, stores: StoresFixture) -> None:
        self.database, self.members, self.rooms = stores.database, stores.members, stores.rooms
        self.presence_store = FailingPresenceStore(stores.database, GRACE)
        self.room_changes = RoomChanges(self.rooms, RoomListenerSpy())
        self.live_id = 0

    async def open(self) -> None:
        self.live_id, _, _ = await self.rooms.get_or_create(HOST)
        await self.room_changes.change(
            self.live_id,
            lambda room: room.open(HOST, EPOCH, "host-stream", now_ms()),
            HOST.user_id,
        )

    async def process(self, name: str, *, lease: float = 15, grace: GracePolicy = GRACE) -> Process:
        """A process that has held its lease for an hour."""
        process = self.new_process(name, lease=lease, grace=grace)
        await process.hold_lease(AN_HOUR)
        return process

    def new_process(self, name: str, *, lease: float = 15, grace: GracePolicy = GRACE) -> Process:
        """A process without a lease in the database."""
        listener, hub, clock = RoomListenerSpy(), ProcessHub(), MovedClock()
        own_lease = Lease(self.presence_store, name, lease, clock)
        room_changes = RoomChanges(self.rooms, listener)
        presence = Presence(self.presence_store, self.members, room_changes, own_lease, grace)
        fakes: Any = hub, SimpleNamespace(presence=self.presence_store), NoEvictions()
        reconciler = SocketReconciler(
            Bus(), fakes[0], own_lease, fakes[1], fakes[2], NOT_USED, clock
        )
        return Process(presence, own_lease, reconciler, name, listener, hub.member_sockets, clock)

    async def enter(self, *people: Person) -> None:
        for person in people:
            await self.room_changes.enter(self.live_id, person)

    async def seat(self, person: Person) -> None:
        await self.enter(person)
        await self.room_changes.change(
            self.live_id,
            lambda room: room.accept(person, "open", f"{person.user_id}_s", ""),
            person.user_id,
        )

    async def connect(self, process: Process, person: Person) -> MemberSocket:
        member = await process.presence.connect(person.user_id, self.live_id)
        assert member is not None
        socket = MemberSocket(person.user_id, self.live_id, member.epoch, member.socket)
        process.sockets.append(socket)
        return socket

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
        room = await self.rooms.load(self.live_id, [person.user_id])
        assert room is not None
        return room

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
    io_loop.run_sync(fixture.open)
    return fixture
