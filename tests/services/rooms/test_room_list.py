"""Counts of the room list are at most a second old, on a real MongoDB."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from tornado.ioloop import IOLoop

from rooms.members import MemberCounts
from services.rooms.live_rooms import COUNTS_TTL_SECONDS, RoomList
from storage.rooms.members import MemberStore
from tests.support.room_builders import ANNA, BERT, CARL, DORA, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, open_room
from tests.support.tencent import Clock


class RacingMemberStore(MemberStore):
    """Each count is followed by one of `after_count`."""

    after_count: list[Callable[[], Awaitable[object]]]

    async def counts(self, sessions: Iterable[tuple[int, str]]) -> dict[int, MemberCounts]:
        counts = await super().counts(sessions)
        if self.after_count:
            await self.after_count.pop(0)()
        return counts


class RoomListFixture:
    """The list of a process, and a live of HOST with one viewer."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.members = RacingMemberStore(stores.database)
        self.members.after_count = []
        self.room_list = RoomList(stores.rooms, self.members)
        self.live_id = 0

    async def open(self) -> None:
        self.live_id = await open_room(self.stores, BERT)

    async def enter(self) -> None:
        await change_room(
            self.stores, self.live_id, lambda room: room.enter(CARL, NOW), CARL.user_id
        )

    async def audiences(self) -> list[tuple[int, int]]:
        """(live_id, audience) in the order of the list."""
        return [(room.live_id, counts.audience) for room, counts in await self.room_list.get()]


@pytest.fixture
def listing(io_loop: IOLoop, stores: StoresFixture) -> RoomListFixture:
    listing = RoomListFixture(stores)
    io_loop.run_sync(listing.open)
    return listing


async def test_concurrent_requests_share_both_queries_and_counts_are_kept_for_a_second(
    listing: RoomListFixture, commands: list[str], clock: Clock
) -> None:
    commands.clear()
    await asyncio.gather(*(listing.room_list.get() for _ in range(32)))
    assert commands == ["find", "aggregate"]
    await listing.enter()
    clock.now += COUNTS_TTL_SECONDS - 0.01
    commands.clear()
    assert await listing.audiences() == [(listing.live_id, 2)]
    assert commands == ["find"]
    clock.now += 0.01
    assert await listing.audiences() == [(listing.live_id, 3)]


async def test_age_of_a_count_is_from_the_start_of_its_read(
    listing: RoomListFixture, clock: Clock
) -> None:
    async def take_long() -> None:
        await listing.enter()
        clock.now += COUNTS_TTL_SECONDS

    listing.members.after_count = [take_long]
    assert await listing.audiences() == [(listing.live_id, 2)]
    assert await listing.audiences() == [(listing.live_id, 3)]


async def test_new_live_is_listed_at_once_and_an_ended_one_is_not(listing: RoomListFixture) -> None:
    assert await listing.audiences() == [(listing.live_id, 2)]
    other = await open_room(listing.stores, CARL, DORA, host=ANNA, epoch="a1")
    assert await listing.audiences() == [(other, 3), (listing.live_id, 2)]
    await change_room(listing.stores, listing.live_id, lambda room: room.close("host"))
    assert await listing.audiences() == [(other, 3)]
    await open_room(listing.stores, host=HOST, epoch="e2")
    assert await listing.audiences() == [(other, 3), (listing.live_id, 1)]
