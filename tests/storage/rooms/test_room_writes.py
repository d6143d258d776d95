"""Guarded writes of rooms, and what is committed with them, on a real MongoDB."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.errors import WriteConflict
from rooms.members import Person
from rooms.room import Room
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
from tests.support.room_builders import ANNA, BERT, CARL, HOST, NOW
from tests.support.room_changes import RecordingListener
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    accept_user,
    change_room,
    load_room,
    open_room,
    register_socket,
    remove_user,
    room_document,
    save_room,
)

BERT_ID = BERT.user_id


async def documents(stores: StoresFixture) -> list[Any]:
    names = ("rooms", "members", "outbox", "users")
    rows = [stores.rows(name).find().sort("_id", 1) for name in names]
    return [await found.to_list() for found in rows]


async def messages(stores: StoresFixture, kind: str) -> list[dict[str, Any]]:
    """Lane, key and payload of each message of this kind, the oldest first."""
    rows = await stores.rows("outbox").find({"kind": kind}).sort("_id", 1).to_list()
    return [{"lane": row["state"], "key": row.get("key"), **row["payload"]} for row in rows]


# ---- conflicts


async def begin_the_next_live(stores: StoresFixture, live_id: int) -> None:
    """Of the same version as the one before."""
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, epoch="e2")
    assert (await room_document(stores, live_id))["version"] == 0


async def invite(stores: StoresFixture, live_id: int) -> None:
    await change_room(stores, live_id, lambda r: r.invite(HOST.user_id, BERT, NOW), BERT_ID)


async def change_gender(stores: StoresFixture, _live_id: int) -> None:
    await stores.database.transaction(lambda tx: stores.members.set_gender(BERT_ID, 2, tx))


async def enter_another_room(stores: StoresFixture, live_id: int) -> None:
    await change_room(stores, live_id, lambda room: room.leave(BERT_ID), BERT_ID)
    await open_room(stores, BERT, host=ANNA)


@pytest.mark.parametrize(
    ("meanwhile", "rule"),
    [
        (lambda s, id_: accept_user(s, id_, CARL), lambda room: room.accept(BERT, "open", "b", "")),
        (begin_the_next_live, lambda room: room.update_profile(Person(HOST.user_id, "late"))),
        (lambda s, id_: accept_user(s, id_, CARL), lambda room: room.close("host")),
        (
            lambda s, id_: remove_user(s, id_, BERT, NOW + 5),
            lambda room: room.ban(BERT, NOW + 9, HOST),
        ),
        (
            lambda s, id_: accept_user(s, id_, CARL),
            lambda room: room.ban(Person("unknown"), NOW + 5, HOST),
        ),
        (
            lambda s, id_: change_room(s, id_, lambda room: room.leave(BERT_ID), BERT_ID),
            lambda room: room.invite(HOST.user_id, BERT, NOW),
        ),
        (invite, lambda room: room.leave(BERT_ID)),
        (lambda s, id_: register_socket(s, BERT, id_), lambda room: room.apply(BERT, NOW)),
        (change_gender, lambda room: room.leave(BERT_ID)),
        (enter_another_room, lambda room: room.apply(BERT, NOW)),
        (
            lambda s, id_: change_room(
                s, id_, lambda room: room.stop_stream(BERT_ID, NOW), BERT_ID
            ),
            lambda room: room.accept(BERT, "open", "b", ""),
        ),
    ],
    ids=[
        *("seat_taken", "next_live", "live_ended", "removed_before", "absent_user_banned"),
        *("left", "invited", "connected", "gender_changed", "entered_another_room"),
        "stream_stopped",
    ],
)
async def test_a_change_of_what_has_changed_since_it_was_loaded_writes_nothing(
    stores: StoresFixture,
    meanwhile: Callable[[StoresFixture, int], Awaitable[object]],
    rule: Callable[[Room], object],
) -> None:
    live_id = await open_room(stores, BERT, CARL)
    outdated = await load_room(stores, live_id, BERT_ID)
    await meanwhile(stores, live_id)
    before = await documents(stores)
    rule(outdated)
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)
    assert await documents(stores) == before


async def test_no_seat_is_taken_while_a_stream_is_forbidden_again(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda room: room.stop_stream(BERT_ID, NOW), BERT_ID)
    outdated = await load_room(stores, live_id, BERT_ID)
    outdated.expire(NOW)  # the first ban has ended
    forbid = NOW + 10**12
    await change_room(stores, live_id, lambda room: room.stop_stream(BERT_ID, forbid), BERT_ID)
    outdated.accept(BERT, "open", "b", "")
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)


@pytest.mark.parametrize(
    ("meanwhile", "rule"),
    [
        (
            lambda room: room.change_group(room.group_id, "qlive_new"),
            lambda room: room.open(HOST, "e1", "s", NOW),
        ),
        (
            lambda room: room.update_info(HOST.user_id, cover="later"),
            lambda room: room.update_info(HOST.user_id, cover="earlier"),
        ),
    ],
    ids=["new group", "new cover"],
)
async def test_of_two_changes_of_a_room_that_is_not_live_the_later_one_is_kept(
    stores: StoresFixture, meanwhile: Callable[[Room], object], rule: Callable[[Room], object]
) -> None:
    """No event tells the other process that the room has changed since it was loaded."""
    live_id, _, _ = await stores.rooms.get_or_create(HOST)
    outdated = await load_room(stores, live_id, HOST.user_id)
    await change_room(stores, live_id, meanwhile)
    rule(outdated)
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)


async def test_entering_replaces_only_a_membership_of_an_ended_live(stores: StoresFixture) -> None:
    live_id, other_id = await open_room(stores, BERT), await open_room(stores, host=ANNA)
    other = await load_room(stores, other_id, BERT_ID)
    other.enter(BERT, NOW)
    with pytest.raises(WriteConflict):
        await save_room(stores, other)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, epoch="e2")
    rooms = [await load_room(stores, live_id, BERT_ID) for _ in range(2)]
    for room in rooms:
        room.enter(BERT, NOW + 5)
    await save_room(stores, rooms[0])
    with pytest.raises(WriteConflict):
        await save_room(stores, rooms[1])
    member = await stores.members.get(BERT_ID)
    assert member is not None
    assert (member.live_id, member.epoch, member.entered_at) == (live_id, "e2", NOW + 5)


# ---- what is committed with the change


async def test_each_change_of_a_ban_queues_a_mute(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    mute = {"lane": "urgent", "key": None, "user_id": BERT_ID, "live_id": live_id}
    await remove_user(stores, live_id, BERT, NOW + 5)
    assert await messages(stores, "mute") == [mute]
    for _ in range(2):  # the second time there is nothing to lift
        await change_room(stores, live_id, lambda room: room.lift_ban(BERT_ID, NOW))
        assert await messages(stores, "mute") == [mute] * 2


async def test_each_change_of_a_mute_queues_it_also_the_end_of_the_live(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    one = {"lane": "urgent", "key": None, "user_id": BERT_ID, "live_id": live_id}
    every = {"lane": "urgent", "key": None, "live_id": live_id}
    host_id = (await load_room(stores, live_id)).host_id
    await change_room(stores, live_id, lambda room: room.mute(HOST, BERT_ID, NOW + 5), BERT_ID)
    await change_room(stores, live_id, lambda room: room.set_mute_all(host_id, on=True))
    room = await load_room(stores, live_id)
    assert (room.muted, room.mute_all) == ({BERT_ID: NOW + 5}, True)
    assert await messages(stores, "mute") == [one, every]
    assert await stores.rooms.due(NOW + 5) == [live_id]
    await change_room(stores, live_id, lambda room: room.close("host"))
    room = await load_room(stores, live_id)
    assert (room.muted, room.mute_all) == ({}, False)
    assert await messages(stores, "mute") == [one, every] * 2


async def test_streams_that_were_taken_away_are_dropped_urgently(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    await accept_user(stores, live_id, BERT, "bert")
    await accept_user(stores, live_id, ANNA, "anna")
    assert await messages(stores, "drop_stream") == []
    await change_room(stores, live_id, lambda r: r.leave_mic(ANNA, ANNA.user_id))
    await remove_user(stores, live_id, BERT, NOW + 1)
    await change_room(stores, live_id, lambda room: room.close("offline"))
    assert await messages(stores, "drop_stream") == [
        {"lane": "due", "key": ANNA.user_id, "streams": ["anna"]},
        {"lane": "urgent", "key": None, "streams": ["bert"]},
        {"lane": "urgent", "key": None, "streams": ["s"]},
    ]


# ---- end of a live


async def test_live_end_adds_to_host_time_and_ends_its_memberships(stores: StoresFixture) -> None:
    user, _ = await stores.users.create("app", "host")
    host = Person(user.user_id, "hong", "", 2)
    live_id = await open_room(stores, BERT, host=host)
    for seconds, epoch in ((61, "e2"), (30, "e3")):
        room = await load_room(stores, live_id)
        room.close("host")
        await save_room(stores, room, now=NOW + seconds * 1000 + 999)
        await open_room(stores, CARL, host=host, epoch=epoch)
        await stores.members.clear(live_id, room.epoch)
        assert await stores.members.get(BERT_ID) is None
        room = await load_room(stores, live_id, host.user_id, CARL.user_id)
        assert [room.role_of(person.user_id) for person in (host, CARL)] == ["host", "viewer"]
    assert (await stores.users.get(host.user_id)).continuous_time == 91


# ---- commands


@pytest.mark.parametrize(
    ("rule", "person", "expected"),
    [
        (lambda room: None, ANNA, []),
        (lambda room: room.invite(ANNA.user_id, BERT, NOW + 10**12), ANNA, []),
        (lambda room: room.update_profile(Person(HOST.user_id, "new")), HOST, ["update"]),
        (
            lambda room: room.enter(BERT, NOW),
            BERT,
            ["insert"],
        ),
        (lambda room: room.leave(ANNA.user_id), ANNA, ["delete"]),
        (
            lambda room: room.apply(ANNA, NOW + 10**12),
            ANNA,
            ["update", "update", "commitTransaction"],
        ),
        (
            lambda room: room.accept(ANNA, "open", "s", ""),
            ANNA,
            ["update", "update", "commitTransaction"],
        ),
    ],
    ids=["none", "refused", "profile", "enter", "leave", "apply", "accept"],
)
async def test_a_lone_change_takes_one_read_and_one_write_or_transaction(
    stores: StoresFixture,
    commands: list[str],
    rule: Callable[[Room], object],
    person: Person,
    expected: list[str],
) -> None:
    live_id = await open_room(stores, ANNA)
    room_changes = RoomChanges(stores, consequences(stores), RecordingListener())
    commands.clear()
    change = room_changes.change(live_id, rule, person.user_id)
    await asyncio.gather(change, return_exceptions=True)
    assert commands == ["aggregate", *expected]
