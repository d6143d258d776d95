"""Counts of the room list are at most a second old, on a real MongoDB."""

import asyncio

import pytest
from tornado.ioloop import IOLoop

from services.rooms.live_rooms import COUNTS_TTL_SECONDS, RoomList
from tests.support.room_builders import ANNA, BERT, CARL, DORA, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, open_room
from tests.support.tencent import Clock


class RoomListFixture:
    """The list of a process, and a live of HOST with one viewer."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.room_list = RoomList(stores)
        self.live_id = 0

    async def audiences(self) -> list[tuple[int, int]]:
        """(live_id, audience) in the order of the list."""
        return [(room.live_id, counts.audience) for room, counts in await self.room_list.get()]


@pytest.fixture
def listing(io_loop: IOLoop, stores: StoresFixture) -> RoomListFixture:
    listing = RoomListFixture(stores)
    listing.live_id = io_loop.run_sync(lambda: open_room(stores, BERT))
    return listing


async def test_concurrent_requests_share_all_queries_and_counts_are_kept_for_a_second(
    listing: RoomListFixture, commands: list[str], clock: Clock
) -> None:
    commands.clear()
    await asyncio.gather(*(listing.room_list.get() for _ in range(32)))
    assert commands == ["find", "find", "aggregate"]
    await change_room(
        listing.stores, listing.live_id, lambda room: room.enter(CARL, NOW), CARL.user_id
    )
    clock.now += COUNTS_TTL_SECONDS - 0.01
    commands.clear()
    assert await listing.audiences() == [(listing.live_id, 2)]
    assert commands == ["find", "find"]
    clock.now += 0.01
    assert await listing.audiences() == [(listing.live_id, 3)]


async def test_new_live_is_listed_at_once_and_an_ended_one_is_not(listing: RoomListFixture) -> None:
    assert await listing.audiences() == [(listing.live_id, 2)]
    other = await open_room(listing.stores, CARL, DORA, host=ANNA, epoch="a1")
    assert await listing.audiences() == [(other, 3), (listing.live_id, 2)]
    await change_room(listing.stores, listing.live_id, lambda room: room.close("host"))
    assert await listing.audiences() == [(other, 3)]
    await open_room(listing.stores, host=HOST, epoch="e2")
    assert await listing.audiences() == [(other, 3), (listing.live_id, 1)]
