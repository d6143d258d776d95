"""Chat groups of rooms, on a real MongoDB."""

import asyncio
import re

import pytest

from core.errors import WriteConflict
from tests.support.room_builders import ANNA, BERT, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room, save_room

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_group_id_of_a_new_room_cannot_be_guessed(stores: StoresFixture) -> None:
    _, first, ready = await stores.rooms.get_or_create(HOST)
    _, second, _ = await stores.rooms.get_or_create(ANNA)
    assert not ready
    for group_id in (first, second):
        assert re.fullmatch("qlive_[0-9a-f]{24}", group_id)  # IM allows 48 bytes of ASCII
    assert first != second


@gen_test
async def test_detached_group_gets_another_random_id_and_is_not_ready(
    stores: StoresFixture,
) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    assert await stores.room_groups.detach(HOST.user_id) is None
    await stores.room_groups.mark_ready(live_id, group_id)
    assert await stores.rooms.get_or_create(HOST) == (live_id, group_id, True)
    assert await stores.room_groups.detach(HOST.user_id) == group_id
    _, renamed, ready = await stores.rooms.get_or_create(HOST)
    assert not ready
    assert re.fullmatch("qlive_[0-9a-f]{24}", renamed)
    assert renamed != group_id
    assert await stores.room_groups.detach("unknown") is None


@gen_test
async def test_group_is_not_marked_ready_once_the_room_has_another_one(
    stores: StoresFixture,
) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    await stores.room_groups.mark_ready(live_id, "another")
    assert await stores.rooms.get_or_create(HOST) == (live_id, group_id, False)


@gen_test
async def test_all_who_plan_a_replacement_at_once_get_the_same_id(stores: StoresFixture) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    planned = await asyncio.gather(*(stores.room_groups.plan(live_id, group_id) for _ in range(10)))
    assert len(set(planned)) == 1
    assert planned[0] not in (None, group_id)
    assert (await load_room(stores, live_id)).group_id == group_id


@gen_test
async def test_no_replacement_is_planned_for_a_group_that_the_room_no_longer_has(
    stores: StoresFixture,
) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    planned = await stores.room_groups.plan(live_id, group_id)
    assert planned
    await change_room(stores, live_id, lambda room: room.change_group(group_id, planned))
    assert await stores.room_groups.plan(live_id, group_id) is None
    assert await stores.room_groups.plan(live_id, planned) not in (None, planned)
    assert await stores.room_groups.plan(99, group_id) is None


@gen_test
async def test_room_is_found_by_its_group_while_live_or_ready(stores: StoresFixture) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    assert await stores.room_groups.room_of(group_id) is None
    await stores.room_groups.mark_ready(live_id, group_id)
    assert await stores.room_groups.room_of(group_id) == live_id
    live = await open_room(stores, host=BERT)
    assert await stores.room_groups.room_of((await load_room(stores, live)).group_id) == live
    assert await stores.room_groups.room_of("unknown") is None


@gen_test
async def test_a_new_group_is_stored_with_its_event(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    group_id = (await load_room(stores, live_id)).group_id
    await change_room(stores, live_id, lambda room: room.change_group(group_id, "qlive_new"))
    assert (await load_room(stores, live_id)).group_id == "qlive_new"
    events = await stores.rooms.log_since(live_id, "e1", 0)
    assert events is not None
    assert [(event.type, event.data) for event in events] == [("group", {"group_id": "qlive_new"})]


@gen_test
async def test_a_live_does_not_start_with_a_group_that_was_replaced_meanwhile(
    stores: StoresFixture,
) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    opening = await load_room(stores, live_id, HOST.user_id)
    await change_room(stores, live_id, lambda room: room.change_group(group_id, "qlive_new"))
    opening.open(HOST, "e1", "s", NOW)
    with pytest.raises(WriteConflict):
        await save_room(stores, opening)
