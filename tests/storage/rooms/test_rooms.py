"""Rooms as they are created, saved, loaded and listed, on a real MongoDB."""

import asyncio
import copy
from typing import Any

import pytest

from rooms.members import Person
from rooms.room import Seat
from tests.support.room_builders import ANNA, BERT, CARL, GRACE, HOST, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    accept_user,
    change_profile,
    change_room,
    load_room,
    open_room,
    remove_user,
    room_document,
    save_room,
)

gen_test = pytest.mark.gen_test(timeout=60)


# ---- rooms of hosts


@gen_test
async def test_host_has_one_permanent_room(stores: StoresFixture) -> None:
    first = await stores.rooms.get_or_create(HOST)
    assert await stores.rooms.get_or_create(HOST) == first
    assert (await stores.rooms.get_or_create(BERT))[0] != first[0]
    room = await load_room(stores, first[0])
    assert not room.live
    assert (room.owner, room.epoch, room.version) == (Seat(HOST, ""), "", 0)


@gen_test
async def test_concurrent_get_or_create_makes_one_room(stores: StoresFixture) -> None:
    created = await asyncio.gather(*(stores.rooms.get_or_create(HOST) for _ in range(10)))
    assert len(set(created)) == 1
    assert await stores.database.collection("rooms").count_documents({}) == 1


@gen_test
async def test_get_or_create_returns_the_room_of_a_concurrent_process(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = stores.database.collection("rooms")

    class ConcurrentCreation:
        """Creates the room under another live_id between the read and the write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(rows, name)

        async def find_one_and_update(self, *_: Any, **__: Any) -> None:
            monkeypatch.setattr(stores.rooms, "_rooms", rows)
            await stores.rooms.get_or_create(HOST)
            await rows.insert_one({"_id": 0, "host_id": HOST.user_id})

    monkeypatch.setattr(stores.rooms, "_rooms", ConcurrentCreation())
    _, _, ready = await stores.rooms.get_or_create(HOST)
    assert not ready
    assert await rows.count_documents({}) == 1


@gen_test
async def test_unknown_room_loads_as_none(stores: StoresFixture) -> None:
    assert await stores.rooms.load(99) is None
    assert await stores.rooms.load(99, [BERT.user_id]) is None


# ---- save and load


@gen_test
async def test_room_is_loaded_as_it_was_saved(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    user_ids = [person.user_id for person in (HOST, BERT, ANNA, CARL)]
    room = await load_room(stores, live_id, *user_ids)
    room.accept(BERT, "open", "sb", "u")
    room.apply(ANNA, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    await save_room(stores, room)
    loaded = await load_room(stores, live_id, *user_ids)
    for name in ("owner", "male", "female", "applications", "epoch", "status", "started_at"):
        assert getattr(loaded, name) == getattr(room, name)
    assert loaded.version == 3
    assert [loaded.role_of(p) for p in user_ids] == ["host", "male", "applied", "viewer"]


@gen_test
async def test_only_requested_memberships_are_loaded(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    assert (await load_room(stores, live_id)).members == {}
    room = await load_room(stores, live_id, BERT.user_id, "unknown")
    assert room.members.keys() == {BERT.user_id}


@gen_test
async def test_rooms_that_are_loaded_at_once_do_not_share_bans_and_removals(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    await accept_user(stores, live_id, BERT, "b")
    await remove_user(stores, live_id, ANNA, NOW + 1_000)
    one, two = await asyncio.gather(*(load_room(stores, live_id, BERT.user_id) for _ in range(2)))
    before = copy.deepcopy(two)
    one.leave_mic(HOST.user_id, BERT.user_id, removed_until=NOW + 1_000)
    one.ban_user(CARL.user_id, NOW + 1_000, "host")
    assert (one.removed, one.blocked) != (two.removed, two.blocked)
    assert two == before


@gen_test
async def test_rooms_that_are_loaded_at_once_are_one_query(
    stores: StoresFixture, commands: list[str]
) -> None:
    hosts = [Person(f"4000{n:04d}", f"host{n}", "", 1) for n in range(16)]
    hosted = [(await open_room(stores, host=host), host.user_id) for host in hosts]
    commands.clear()
    rooms = await asyncio.gather(*(load_room(stores, *it) for it in hosted))
    assert [(room.live_id, *room.members) for room in rooms] == hosted
    assert commands == ["aggregate"]


@gen_test
async def test_membership_in_another_room_is_loaded(stores: StoresFixture) -> None:
    first, second = await open_room(stores, BERT), await open_room(stores, host=ANNA)
    room = await load_room(stores, second, BERT.user_id)
    assert room.members[BERT.user_id].live_id == first
    assert room.role_of(BERT.user_id) is None


@gen_test
async def test_refused_application_is_deleted(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    for person in (BERT, CARL):
        await change_room(stores, live_id, lambda r, p=person: r.apply(p, NOW, 600), person.user_id)
    await change_room(stores, live_id, lambda room: room.refuse(BERT.user_id), BERT.user_id)
    assert (await room_document(stores, live_id))["applications"].keys() == {CARL.user_id}


@gen_test
async def test_application_expiry_and_live_end_are_saved_in_one_change(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT, CARL)
    for person, seconds in ((BERT, 1), (CARL, 600)):
        await change_room(
            stores, live_id, lambda r, p=person, s=seconds: r.apply(p, NOW, s), person.user_id
        )
    room = await load_room(stores, live_id, HOST.user_id)
    room.expire(NOW + 1_000)
    room.close("host")
    await save_room(stores, room)
    document = await room_document(stores, live_id)
    assert (document["applications"], document["status"]) == ({}, "ended")
    log = await stores.rooms.log_since(live_id, "e1", 2)
    assert log is not None
    assert [event.type for event in log] == ["micro_refuse", "live_end"]


@gen_test
async def test_away_seats_are_restored_on_reconnect(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT, "b")
    for person in (BERT, HOST):
        await stores.database.collection("members").update_one(
            {"_id": person.user_id}, {"$set": {"away_at": NOW}}
        )
        await change_room(
            stores,
            live_id,
            lambda room, p=person: room.apply_absence(
                p.user_id, NOW + 3_000, GRACE, since=0, streams=False
            ),
            person.user_id,
        )
    room = await load_room(stores, live_id)
    assert (room.male, room.owner) == (Seat(BERT, "b", away=True), Seat(HOST, "s", away=True))
    assert room.status == "paused"
    assert (await stores.rooms.live())[0].owner.away
    for person in (BERT, HOST):
        await change_room(
            stores, live_id, lambda r, p=person: r.mark_connected(p.user_id), person.user_id
        )
    room = await load_room(stores, live_id)
    assert (room.male, room.owner) == (Seat(BERT, "b"), Seat(HOST, "s"))
    assert room.status == "live"
    log = await stores.rooms.log_since(live_id, "e1", 1)
    assert log is not None
    assert [event.type for event in log] == [
        *("member_away", "member_away", "live_pause"),
        *("member_back", "member_back", "live_resume"),
    ]


@gen_test
async def test_removals_from_the_mic_end_with_the_live_session(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT, "b")
    await change_room(
        stores, live_id, lambda r: r.leave_mic(HOST.user_id, BERT.user_id, removed_until=NOW + 5)
    )
    assert (await load_room(stores, live_id)).removed == {BERT.user_id: NOW + 5}
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, epoch="e2")
    assert (await load_room(stores, live_id)).removed == {}


# ---- queries over many rooms


@gen_test
async def test_versions_of_many_rooms_are_read(stores: StoresFixture) -> None:
    first, second = await open_room(stores), await open_room(stores, host=ANNA, epoch="a1")
    await change_profile(stores, first, 2)
    versions = await stores.rooms.versions([first, second, 99])
    assert versions == {first: ("e1", 2), second: ("a1", 0)}


@gen_test
async def test_room_is_due_when_its_first_application_expires(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 60), BERT.user_id)
    await change_room(stores, live_id, lambda room: room.apply(CARL, NOW, 30), CARL.user_id)
    assert await stores.rooms.due(NOW + 29_999) == []
    assert await stores.rooms.due(NOW + 30_000) == [live_id]
    await change_room(stores, live_id, lambda room: room.expire(NOW + 30_000))
    assert await stores.rooms.due(NOW + 59_999) == []
    await change_room(stores, live_id, lambda room: room.expire(NOW + 60_000))
    assert await stores.rooms.due(NOW + 10**9) == []


@gen_test
async def test_ended_room_is_never_due(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 60), BERT.user_id)
    await change_room(stores, live_id, lambda room: room.close("host"))
    assert await stores.rooms.due(NOW + 10**9) == []


@gen_test
async def test_live_rooms_are_listed_newest_first(stores: StoresFixture) -> None:
    hosts = [Person(f"4000000{n}", f"host{n}", "", 1) for n in range(3)]
    ids = []
    for n, host in enumerate(hosts):
        live_id, _, _ = await stores.rooms.get_or_create(host)
        await change_room(
            stores, live_id, lambda r, h=host, n=n: r.open(h, f"e{n}", "s", NOW + n), host.user_id
        )
        ids.append(live_id)
    await change_room(stores, ids[1], lambda room: room.close("host"))
    assert [room.live_id for room in await stores.rooms.live()] == [ids[2], ids[0]]
