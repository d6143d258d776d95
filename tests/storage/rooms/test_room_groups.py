"""Chat groups of rooms, on a real MongoDB."""

import asyncio
import re

from tests.support.room_builders import ANNA, BERT, HOST
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room

RANDOM_ID = re.compile("qlive_[0-9a-f]{24}")
"""IM allows 48 bytes of ASCII."""


async def test_each_group_has_an_id_that_cannot_be_guessed(stores: StoresFixture) -> None:
    live_id, group_id, ready = await stores.rooms.get_or_create(HOST)
    assert not ready
    assert await stores.room_groups.detach(HOST.user_id) is None
    await stores.room_groups.mark_ready(live_id, "another")
    assert await stores.rooms.get_or_create(HOST) == (live_id, group_id, False)
    await stores.room_groups.mark_ready(live_id, group_id)
    assert await stores.rooms.get_or_create(HOST) == (live_id, group_id, True)
    assert await stores.room_groups.detach(HOST.user_id) == group_id
    _, detached, ready = await stores.rooms.get_or_create(HOST)
    assert not ready
    _, other, _ = await stores.rooms.get_or_create(ANNA)
    assert len({group_id, detached, other}) == 3
    assert all(RANDOM_ID.fullmatch(id_) for id_ in (group_id, detached, other))
    assert await stores.room_groups.detach("unknown") is None


async def test_a_group_has_one_planned_replacement(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    old = (await load_room(stores, live_id)).group_id
    planned = await asyncio.gather(*(stores.room_groups.plan(live_id, old) for _ in range(10)))
    (new,) = {*planned}
    assert new not in (None, old)
    assert (await load_room(stores, live_id)).group_id == old
    await change_room(stores, live_id, lambda room: room.change_group(old, str(new)))
    assert (await load_room(stores, live_id)).group_id == new
    assert await stores.room_groups.plan(live_id, old) is None
    assert await stores.room_groups.plan(live_id, str(new)) not in (None, new)
    assert await stores.room_groups.plan(99, old) is None


async def test_room_is_found_by_its_group_while_live_or_ready(stores: StoresFixture) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    assert await stores.room_groups.room_of(group_id) is None
    await stores.room_groups.mark_ready(live_id, group_id)
    assert await stores.room_groups.room_of(group_id) == live_id
    live = await open_room(stores, host=BERT)
    assert await stores.room_groups.room_of((await load_room(stores, live)).group_id) == live
    assert await stores.room_groups.room_of("unknown") is None
