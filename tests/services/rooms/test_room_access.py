"""Repeated authorization of subscribed users, and the room as they all see it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from core.clock import now_ms
from core.errors import QLiveError, TryAgain
from realtime.frames import CloseCode
from rooms.errors import RemovedFromRoom
from rooms.members import Person
from rooms.room import Room
from services.rooms.room_access import RoomAccess, close_code_for
from storage.errors import StorageUnavailable
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, open_room


class AccessFixture:
    """A live room with two members."""

    def __init__(self, stores: StoresFixture) -> None:
        urls: Any = SimpleNamespace(play=lambda stream: stream)
        self.stores, self.access = stores, RoomAccess(stores, urls)
        self.live_id, self.host, self.users = 0, Person(""), list[str]()

    async def open(self) -> "AccessFixture":
        host, *self.users = await self.stores.create_users(*[(0, 0)] * 3)
        self.host = Person(host)
        self.live_id = await open_room(self.stores, *map(Person, self.users), host=self.host)
        return self

    async def remove(self, user_id: str) -> None:
        until = now_ms() + 60_000
        await change_room(
            self.stores,
            self.live_id,
            lambda room: room.ban(Person(user_id), until, self.host),
            user_id,
        )

    async def audience(self) -> tuple[int, int]:
        """What the members are sent, and the peak in the report."""
        sent = (await self.access.audiences([(self.live_id, "e1")]))[self.live_id]
        await self.stores.visits.flush()
        [report] = await self.stores.summaries.page_of_host(self.host.user_id, 1, 8)
        return sent["audience_count"], report["audience_peak"]

    async def code(self, user_id: str, live_id: int | None = None) -> CloseCode | None:
        try:
            await self.access.authorize(live_id or self.live_id, user_id)
        except QLiveError as error:
            return close_code_for(error)
        return None


async def test_each_reason_to_close_a_socket_has_its_code(stores: StoresFixture) -> None:
    fixture = await AccessFixture(stores).open()
    member, other = fixture.users
    assert await fixture.code(member) is None
    assert await fixture.code(member, 999) == CloseCode.NOT_A_MEMBER
    assert await fixture.code("unknown") == CloseCode.NOT_A_MEMBER
    await change_room(stores, fixture.live_id, lambda room: room.leave(other), other)
    assert await fixture.code(other) == CloseCode.NOT_A_MEMBER
    await fixture.remove(other)
    assert await fixture.code(other) == CloseCode.PUT_OUT
    await change_room(stores, fixture.live_id, lambda room: room.close("host"))
    assert await fixture.code(member) == CloseCode.ENDED
    await stores.users.update(member, banned=True)
    assert await fixture.code(member) == CloseCode.PUT_OUT


async def test_user_removed_during_authorization_is_rejected(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = await AccessFixture(stores).open()
    read = stores.rooms.read

    async def read_late(live_id: int) -> Room | None:
        """Removes the user after the membership was read."""
        await fixture.remove(fixture.users[0])
        return await read(live_id)

    monkeypatch.setattr(stores.rooms, "read", read_late)
    with pytest.raises(RemovedFromRoom):
        await fixture.access.authorize(fixture.live_id, fixture.users[0])


async def test_a_room_is_loaded_for_all_its_sockets_while_it_is_live(
    stores: StoresFixture,
) -> None:
    fixture = await AccessFixture(stores).open()
    for_host = await fixture.access.authorize(fixture.live_id, fixture.host.user_id)
    for_all = await fixture.access.load_room(fixture.live_id)
    assert for_all is not None
    assert (for_all.epoch, for_all.version) == (for_host.epoch, for_host.version)
    frames = [await view.snapshot(fixture.live_id, None) for view in (for_host, for_all)]
    rooms = [json.loads(frame[frame.index(b"{") :])["data"] for frame in frames]
    assert rooms[0] == rooms[1]
    await change_room(stores, fixture.live_id, lambda room: room.close("host"))
    assert await fixture.access.load_room(fixture.live_id) is None
    assert await fixture.access.load_room(999) is None


@pytest.mark.parametrize(
    "error", [AutoReconnect("unavailable"), StorageUnavailable(), TryAgain(), KeyError()]
)
def test_a_client_may_reconnect_after_an_error_of_the_server(error: Exception) -> None:
    assert close_code_for(error) == CloseCode.RESTART


async def test_what_members_are_sent_raises_the_peak_of_the_report_without_the_host(
    stores: StoresFixture,
) -> None:
    fixture = await AccessFixture(stores).open()
    assert await fixture.audience() == (3, 2)
    await fixture.remove(fixture.users[0])
    assert await fixture.audience() == (2, 2)
