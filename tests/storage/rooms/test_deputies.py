"""Deputies in the database: found by user and host, and written by one process at a time."""

import pytest

from core.errors import WriteConflict
from rooms.members import Person
from tests.support.room_builders import ANNA, BERT, CARL, HOST, NOW, STRANGER
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    change_room,
    load_room,
    open_room,
    remove_user,
    room_document,
    save_room,
)


async def name(stores: StoresFixture, live_id: int, person: Person, host: Person = HOST) -> None:
    await change_room(
        stores, live_id, lambda room: room.name_deputy(host.user_id, person), person.user_id
    )


async def test_the_rooms_of_a_deputy_and_the_room_of_a_host_are_found(
    stores: StoresFixture,
) -> None:
    first = await open_room(stores, BERT, CARL)
    second = await open_room(stores, host=ANNA, epoch="a1")
    await name(stores, first, BERT)
    await name(stores, first, CARL)
    await change_room(stores, first, lambda room: room.leave(BERT.user_id), BERT.user_id)
    await change_room(stores, second, lambda room: room.enter(BERT, NOW), BERT.user_id)
    await name(stores, second, BERT, ANNA)
    assert sorted(await stores.rooms.staffed_by(BERT.user_id)) == [first, second]
    assert await stores.rooms.staffed_by(ANNA.user_id, STRANGER.user_id) == [second]
    assert sorted(await stores.rooms.staffed_by(ANNA.user_id, CARL.user_id)) == [first, second]
    room = await stores.rooms.of_host(HOST.user_id)
    assert room
    assert (room.live_id, room.deputies) == (first, (BERT.user_id, CARL.user_id))
    assert await stores.rooms.of_host(BERT.user_id) is None


async def test_changes_of_deputies_outside_of_a_live_are_not_lost(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    for person in (BERT, CARL):
        await name(stores, live_id, person)
    await change_room(stores, live_id, lambda room: room.close("host"))
    one, other = [await load_room(stores, live_id) for _ in range(2)]
    one.end_deputy(BERT)
    other.end_deputy(CARL)
    await save_room(stores, one)
    with pytest.raises(WriteConflict):
        await save_room(stores, other)
    await change_room(stores, live_id, lambda room: room.end_deputy(CARL))
    assert (await room_document(stores, live_id))["deputies"] == []


async def test_a_user_who_is_removed_meanwhile_is_not_made_a_deputy(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    room = await load_room(stores, live_id, BERT.user_id)
    room.name_deputy(HOST.user_id, BERT)
    await remove_user(stores, live_id, BERT, NOW + 9)
    with pytest.raises(WriteConflict):
        await save_room(stores, room)
    assert await stores.rooms.staffed_by(BERT.user_id) == []
