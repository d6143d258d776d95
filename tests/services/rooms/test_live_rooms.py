"""Entering a live room, on a real MongoDB."""

import asyncio
from typing import Any

from services.keeper import Keeper
from services.rooms.live_rooms import LiveRoomService
from services.rooms.presence import Lease, Presence
from tests.support.keeper import RecordingListener
from tests.support.room_builders import GRACE
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import open_room

NOT_USED: Any = None


def live_rooms(stores: StoresFixture) -> LiveRoomService:
    keeper = Keeper(stores.rooms, RecordingListener())
    lease = Lease(stores.presence, "process-1", 15)
    presence = Presence(stores.presence, stores.members, keeper, lease, GRACE)
    has_stores: Any = stores
    return LiveRoomService(has_stores, keeper, presence, NOT_USED, NOT_USED)


async def test_entries_of_present_members_store_nothing(
    stores: StoresFixture, commands: list[str]
) -> None:
    live_id, service = await open_room(stores), live_rooms(stores)
    users = [(await stores.users.create("app", str(n)))[0] for n in range(32)]
    tokens = [(await stores.tokens.issue(user.user_id))[0] for user in users]

    async def enter_all() -> None:
        await asyncio.gather(
            *(service.enter(live_id, *it) for it in zip(users, tokens, strict=True))
        )

    commands.clear()
    await enter_all()
    assert "findAndModify" not in commands, "a new membership is a sign of life"
    commands.clear()
    await enter_all()
    assert {*commands} <= {"find", "aggregate"}
