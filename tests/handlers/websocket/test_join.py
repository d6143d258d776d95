"""The join of one socket, on a real MongoDB and without a server, whose jobs send commands, too."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from core.limits import ConcurrencyLimit
from handlers.websocket.connection import Connection, ConnectRequest
from realtime.bus import Bus
from realtime.frames import CloseCode, Key
from realtime.hub import Hub
from realtime.resume import ResumePosition, Source
from rooms.members import Member, Person
from rooms.room import Room
from services.accounts.sessions import SessionService
from services.accounts.user_channels import UserChannelService
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
from services.rooms.presence import Lease, Presence
from services.rooms.room_access import JoinService, RoomAccess
from telemetry.metrics import Metrics
from tests.support.room_builders import GRACE, HOST
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import open_room
from tests.support.waiting import until


class RecordingBus(Bus):
    """A Bus that records the subscriptions."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed: list[Key] = []

    async def open_channel(self, key: Key) -> None:
        await asyncio.sleep(0)
        self.subscribed.append(key)


class InterruptedPresence(Presence):
    """A Presence that does `then` when it has registered a socket."""

    then: Callable[[Member], Awaitable[object]] | None = None

    async def connect(self, user_id: str, live_id: int) -> Member | None:
        member = await super().connect(user_id, live_id)
        if member and self.then:
            await self.then(member)
        return member


class JoinFixture:
    """A live room with one viewer, who opens sockets to it."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        urls: Any = SimpleNamespace(play=lambda stream: stream)
        access = RoomAccess(stores, urls)
        self.bus = RecordingBus()
        channels = UserChannelService(stores, self.bus, "one")
        rooms = Source(stores.rooms, access.load_room)
        self.hub = Hub(rooms, Source(stores.user_channels, channels.load), self.bus)
        self.room_changes = RoomChanges(stores, consequences(stores), self.hub)
        lease = Lease(stores.presence, "one")
        self.presence = InterruptedPresence(stores, self.room_changes, lease, GRACE)
        not_used: Any = None
        sessions = SessionService(stores, self.bus, not_used)
        joins = JoinService(stores, self.hub, access, self.presence, channels)
        services = SimpleNamespace(
            rooms=SimpleNamespace(joins=joins, presence=self.presence),
            accounts=SimpleNamespace(sessions=sessions, channels=channels),
        )
        self._context: Any = SimpleNamespace(
            hub=self.hub,
            stores=stores,
            services=services,
            metrics=Metrics(),
            join_limit=ConcurrencyLimit(1),
            request_limits=SimpleNamespace(take=lambda *_: 0.0),
        )
        self._clients: list[socket.socket] = []
        self._running: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        [self.user_id] = await self.stores.create_users((0, 0))
        self.live_id = await open_room(self.stores, Person(self.user_id, "bert"))
        self.token, _ = await self.stores.tokens.issue(self.user_id)

    async def change(self, type_: str = "bert") -> None:
        """A change of the room with an event."""
        person = Person(HOST.user_id, type_)
        await self.room_changes.change(self.live_id, lambda room: room.update_profile(person))

    async def join(self, since: ResumePosition | None = None) -> dict[str, Any]:
        """The first frame that a new socket receives."""
        server_end, client = socket.socketpair()
        client.setblocking(False)
        self._clients.append(client)
        request = ConnectRequest(self.live_id, since, self.token, "")
        connection = Connection(self._context, IOStream(server_end), request)
        self._running.append(asyncio.ensure_future(connection.run()))
        received = await asyncio.get_running_loop().sock_recv(client, 65_536)
        text = received[received.index(b"{") :].decode(errors="replace")
        frame: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
        return frame

    async def close(self) -> None:
        for client in self._clients:
            client.close()
        await asyncio.gather(*self._running)


@pytest.fixture
def fixture(io_loop: IOLoop, stores: StoresFixture) -> Iterator[JoinFixture]:
    fixture = JoinFixture(stores)
    io_loop.run_sync(fixture.open)
    yield fixture
    io_loop.run_sync(fixture.close)


async def test_a_join_reads_user_and_membership_once(
    fixture: JoinFixture, commands: list[str]
) -> None:
    """The token with its user; the registration with the membership; the room; its counts."""
    commands.clear()
    assert (await fixture.join())["type"] == "snapshot"
    assert commands == ["aggregate", "update", "find", "find", "aggregate"]


@pytest.mark.parametrize(
    ("logged", "expected"), [(False, []), (True, ["find"])], ids=["from memory", "from the log"]
)
async def test_a_resume_reads_the_log_instead_of_the_counts(
    fixture: JoinFixture, commands: list[str], logged: bool, expected: list[str]
) -> None:
    position = await fixture.join()
    since = ResumePosition(position["epoch"], position["seq"])
    if logged:
        await fixture.close()
        await until(lambda: not fixture.hub.channels)
    await fixture.change()
    commands.clear()
    resumed = await fixture.join(since)
    assert (resumed["type"], resumed["replayed"]) == ("resumed", 1)
    assert commands == ["aggregate", "update", "find", "find", *expected]


async def test_a_socket_is_registered_after_the_room_is_subscribed_to(fixture: JoinFixture) -> None:
    """So that no message about its membership is missed."""
    subscribed: list[list[int]] = []

    async def note(_member: Member) -> None:
        subscribed.append([*fixture.bus.subscribed])

    fixture.presence.then = note
    await fixture.join()
    assert subscribed == [[fixture.live_id]]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (lambda room, user_id: room.leave(user_id), CloseCode.NOT_A_MEMBER),
        (lambda room, user_id: room.ban(Person(user_id), 2**53, HOST), CloseCode.PUT_OUT),
        (lambda room, _user_id: room.close("host"), CloseCode.ENDED),
    ],
    ids=["the user leaves", "the user is removed", "the live ends"],
)
async def test_a_change_after_the_registration_closes_the_socket(
    fixture: JoinFixture, rule: Callable[[Room, str], object], code: CloseCode
) -> None:
    user_id = fixture.user_id
    fixture.presence.then = lambda member: fixture.room_changes.change(
        member.live_id, lambda room: rule(room, user_id), user_id
    )
    frame = await fixture.join()
    assert (frame["type"], frame.get("code")) == ("bye", code)


async def test_a_banned_user_with_a_valid_token_is_refused(fixture: JoinFixture) -> None:
    """Its process may have died between the ban and the revocation."""
    await fixture.stores.users.update(fixture.user_id, banned=True)
    frame = await fixture.join()
    assert (frame["type"], frame["code"]) == ("bye", CloseCode.PUT_OUT)
    assert fixture.bus.subscribed == []
