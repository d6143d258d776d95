"""Removed users and their room bans, on a real MongoDB."""

from typing import Any

import pytest

from core.errors import WriteConflict
from tests.support.room_builders import BERT, CARL, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    change_room,
    load_room,
    open_room,
    remove_user,
    room_document,
    save_room,
)

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_room_ban_lasts_into_the_next_live(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    await remove_user(stores, live_id, BERT, NOW + 5)
    await remove_user(stores, live_id, CARL, NOW)
    assert (await load_room(stores, live_id)).blocked == {
        BERT.user_id: NOW + 5,
        CARL.user_id: NOW,
    }
    assert await stores.members.get(BERT.user_id) is None
    await change_room(stores, live_id, lambda room: room.close("host"))
    assert (await load_room(stores, live_id)).blocked.keys() == {BERT.user_id, CARL.user_id}
    await open_room(stores, epoch="e2")
    assert (await load_room(stores, live_id)).blocked == {BERT.user_id: NOW + 5}
    assert (await room_document(stores, live_id))["blocked"] == {BERT.user_id: NOW + 5}


async def take_mutes(stores: StoresFixture) -> list[dict[str, Any]]:
    """The users to mute or unmute, which the outbox then has no longer."""
    outbox = stores.database.collection("outbox")
    rows = await outbox.find({"kind": "mute"}).sort("_id", 1).to_list()
    assert {row["state"] for row in rows} <= {"urgent"}
    await outbox.delete_many({})
    return [row["payload"] for row in rows]


@gen_test
async def test_change_of_a_room_ban_queues_a_mute_in_the_same_transaction(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    bert = {"user_id": BERT.user_id, "live_id": live_id}
    outdated = await load_room(stores, live_id, BERT.user_id)
    await remove_user(stores, live_id, BERT, NOW + 5)
    assert await take_mutes(stores) == [bert]
    outdated.remove_user(HOST.user_id, BERT.user_id, NOW + 9)
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)
    assert await take_mutes(stores) == []
    for expected in ([bert], []):  # the second time nothing is to be lifted
        await change_room(stores, live_id, lambda room: room.lift_ban(BERT.user_id))
        assert await take_mutes(stores) == expected


@gen_test
async def test_banning_an_absent_user_is_a_guarded_write(stores: StoresFixture) -> None:
    live_id = await open_room(stores, CARL)
    outdated = await load_room(stores, live_id, BERT.user_id)
    await change_room(stores, live_id, lambda room: room.apply(CARL, NOW, 600), CARL.user_id)
    outdated.remove_user(HOST.user_id, BERT.user_id, NOW + 5)
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)
    assert (await load_room(stores, live_id)).blocked == {}
    await remove_user(stores, live_id, BERT, NOW + 5)
    room = await load_room(stores, live_id)
    assert (room.blocked, room.version) == ({BERT.user_id: NOW + 5}, 1)


@gen_test
async def test_concurrent_removals_conflict_and_succeed_on_retry(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    for person in (BERT, CARL):
        await change_room(
            stores,
            live_id,
            lambda r, p=person: r.accept(p, "open", "s", "") if r.male is None else None,
            person.user_id,
        )
    rooms = [await load_room(stores, live_id, person.user_id) for person in (BERT, CARL)]
    for room, person in zip(rooms, (BERT, CARL), strict=True):
        room.remove_user(HOST.user_id, person.user_id, NOW + 5)
    await save_room(stores, rooms[0])
    with pytest.raises(WriteConflict):
        await save_room(stores, rooms[1])
    await remove_user(stores, live_id, CARL, NOW + 5)
    assert (await load_room(stores, live_id)).blocked.keys() == {BERT.user_id, CARL.user_id}
