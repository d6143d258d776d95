"""Optimistic locking of rooms, and the transactions in which they are saved, on a real MongoDB."""

import asyncio

import pytest

from core.errors import WriteConflict
from rooms.members import Person
from storage.write_batch import WriteBatch
from tests.support.room_builders import BERT, CARL, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    accept_user,
    change_room,
    load_room,
    open_room,
    room_document,
    save_room,
)

gen_test = pytest.mark.gen_test(timeout=60)


# ---- conflicts


@gen_test
async def test_saving_an_outdated_version_conflicts(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    outdated = await load_room(stores, live_id, CARL.user_id)
    await accept_user(stores, live_id, BERT, "b")
    before = await room_document(stores, live_id)
    outdated.accept(CARL, "open", "c", "")
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)
    assert await room_document(stores, live_id) == before
    member = await stores.members.get(CARL.user_id)
    assert member is not None
    assert member.role == "viewer"


@gen_test
async def test_saving_an_earlier_epoch_with_the_same_version_conflicts(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    outdated = await load_room(stores, live_id)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, epoch="e2")
    assert (await room_document(stores, live_id))["version"] == outdated.version == 0
    outdated.update_profile(Person(HOST.user_id, "late"))
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)


@gen_test
async def test_concurrent_accepts_fill_a_seat_once(stores: StoresFixture) -> None:
    users = [Person(f"3000000{n}", f"user{n}", "", 1) for n in range(8)]
    live_id = await open_room(stores, *users)
    loaded = [await load_room(stores, live_id, user.user_id) for user in users]
    for room, user in zip(loaded, users, strict=True):
        room.accept(user, "open", "s", "")
    results = await asyncio.gather(
        *(save_room(stores, room) for room in loaded), return_exceptions=True
    )
    assert sorted(map(repr, results)) == sorted([repr(None), *([repr(WriteConflict())] * 7)])
    room = await load_room(stores, live_id, *(user.user_id for user in users))
    assert room.male is not None
    assert [member.role for member in room.members.values()].count("male") == 1
    assert room.role_of(room.male.person.user_id) == "male"


# ---- transactions


@gen_test
async def test_a_conflict_in_the_transaction_undoes_the_room_change(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    before = await room_document(stores, live_id)
    room = await load_room(stores, live_id, BERT.user_id)
    room.apply(BERT, NOW, 600)

    def add(batch: WriteBatch) -> None:
        batch.insert("users", {"_id": "x"})
        batch.update("users", {"_id": "y"}, {"$set": {"gold": 1}})

    with pytest.raises(WriteConflict):
        await save_room(stores, room, add_writes=[add])
    assert await room_document(stores, live_id) == before
    assert await stores.users.find("x") is None
    member = await stores.members.get(BERT.user_id)
    assert member is not None
    assert member.role == "viewer"


@gen_test
async def test_other_writes_of_the_transaction_are_committed_with_the_change(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores)
    room = await load_room(stores, live_id)
    room.update_profile(Person(HOST.user_id, "new"))

    await save_room(stores, room, add_writes=[lambda batch: batch.insert("counters", {"_id": "x"})])
    assert (await load_room(stores, live_id)).name == "new"
    assert await stores.database.collection("counters").find_one({"_id": "x"})


# ---- end of a live


@gen_test
async def test_live_end_adds_to_host_time_and_clear_deletes_memberships(
    stores: StoresFixture,
) -> None:
    user, _ = await stores.users.create("app", "host")
    host = Person(user.user_id, "hong", "", 2)
    live_id = await open_room(stores, BERT, host=host)
    for seconds, epoch in ((61, "e2"), (30, "e3")):
        room = await load_room(stores, live_id)
        room.close("host")
        await save_room(stores, room, now=NOW + seconds * 1000 + 999)
        await stores.rooms.clear(live_id, room.epoch)
        assert await stores.rooms.membership_of(host.user_id) is None
        await open_room(stores, host=host, epoch=epoch)
    assert (await stores.users.get(host.user_id)).continuous_time == 91
    assert await stores.rooms.membership_of(BERT.user_id) is None


@gen_test
async def test_clear_keeps_memberships_of_the_next_live(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, CARL, epoch="e2")
    await stores.rooms.clear(live_id, "e1")
    assert await stores.rooms.membership_of(BERT.user_id) is None
    room = await load_room(stores, live_id, HOST.user_id, CARL.user_id)
    assert [room.role_of(p.user_id) for p in (HOST, CARL)] == ["host", "viewer"]
