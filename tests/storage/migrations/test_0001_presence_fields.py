from importlib import import_module

import pytest

from rooms.members import Person
from rooms.presence import Membership, SessionState
from tests.support.room_builders import ANNA, BERT, CARL, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_members import (
    LATER,
    disconnect,
    find_membership,
    member_fields,
    member_row,
    pending_absence,
    register_socket,
)
from tests.support.stored_rooms import change_room, load_room, open_room

apply = import_module("storage.migrations.0001_presence_fields").apply

gen_test = pytest.mark.gen_test(timeout=60)
FIELDS = ("process", "socket", "away_at", "due_at", "stream", "seen_at")


async def forget_presence(stores: StoresFixture, person: Person, *names: str) -> None:
    """Leaves the membership as it was stored before presence."""
    await stores.database.collection("members").update_one(
        {"_id": person.user_id}, {"$unset": dict.fromkeys(names, "")}
    )


@gen_test
async def test_membership_stored_before_presence_has_never_had_a_socket(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await forget_presence(stores, BERT, *FIELDS)
    assert await apply(stores.database) == 1
    room = await load_room(stores, live_id, BERT.user_id)
    assert room.role_of(BERT.user_id) == "viewer"
    assert await find_membership(stores, BERT) == Membership(
        live_id, "e1", "viewer", False, False, NOW, None
    )
    states = await stores.presence.session_states([BERT.user_id])
    assert states == {BERT.user_id: SessionState(live_id, "e1", 0, None)}
    assert not await stores.presence.seen(BERT.user_id, NOW)
    assert await stores.presence.claim(NOW + 10**9) is None
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    await disconnect(stores, BERT, live_id)
    assert (await member_fields(stores, BERT, "away_at")) == (LATER,)
    assert await stores.presence.claim(NOW + 10**13) == pending_absence(BERT, live_id)


@gen_test
async def test_it_continues_where_it_was_killed_and_keeps_what_is_stored(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await register_socket(stores, ANNA, live_id)
    await forget_presence(stores, BERT, *FIELDS)
    await forget_presence(stores, CARL, "stream", "seen_at")
    before = await member_row(stores, ANNA)
    assert await apply(stores.database) == 2
    assert await apply(stores.database) == 0
    assert await member_row(stores, ANNA) == before
    for person in (BERT, CARL):
        assert await member_fields(stores, person, *FIELDS) == (None, 0, None, None, None, NOW)
        assert set(FIELDS) < set(await member_row(stores, person))
