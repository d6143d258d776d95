"""Memberships on a real MongoDB."""

import asyncio
from typing import Any

import pytest

from core.errors import WriteConflict
from rooms.errors import GenderInUse
from rooms.members import MemberCounts, Person
from storage.rooms import members as members_module
from tests.support.room_builders import ANNA, BERT, CARL, DORA, HOST, KIM, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import accept_user, change_room, load_room, open_room, save_room

gen_test = pytest.mark.gen_test(timeout=60)


async def stored_member(stores: StoresFixture, person: Person) -> Any:
    found = await stores.members.get(person.user_id)
    assert found is not None
    return found


async def set_gender(stores: StoresFixture, person: Person, gender: int) -> None:
    await stores.database.transaction(
        lambda session: stores.members.set_gender(person.user_id, gender, session)
    )


@gen_test
async def test_membership_is_stored_with_all_fields(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    stored = await stored_member(stores, BERT)
    assert (stored.user_id, stored.live_id, stored.epoch) == (BERT.user_id, live_id, "e1")
    assert (stored.gender, stored.role, stored.entered_at, stored.v) == (1, "viewer", NOW, 0)
    assert await stores.members.get("unknown") is None


@gen_test
async def test_every_membership_change_increments_its_version(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 600), BERT.user_id)
    assert ((await stored_member(stores, BERT)).role, (await stored_member(stores, BERT)).v) == (
        "applied",
        1,
    )
    await change_room(
        stores, live_id, lambda room: room.invite(HOST.user_id, BERT, NOW, 60), BERT.user_id
    )
    assert ((await stored_member(stores, BERT)).role, (await stored_member(stores, BERT)).v) == (
        "applied",
        2,
    )


@gen_test
async def test_concurrent_entries_into_two_rooms_give_one_membership(stores: StoresFixture) -> None:
    first, second = await open_room(stores), await open_room(stores, host=ANNA)
    rooms = [await load_room(stores, live_id, BERT.user_id) for live_id in (first, second)]
    for room in rooms:
        room.enter(BERT, NOW)
    results = await asyncio.gather(
        *(save_room(stores, room) for room in rooms), return_exceptions=True
    )
    assert sorted(map(repr, results)) == sorted([repr(None), repr(WriteConflict())])
    assert (await stored_member(stores, BERT)).live_id in (first, second)


@gen_test
async def test_membership_in_another_live_room_is_not_overwritten(stores: StoresFixture) -> None:
    first, second = await open_room(stores, BERT), await open_room(stores, host=ANNA)
    room = await load_room(stores, second, BERT.user_id)
    room.enter(BERT, NOW)
    with pytest.raises(WriteConflict):
        await save_room(stores, room)
    assert (await stored_member(stores, BERT)).live_id == first


@gen_test
async def test_membership_of_an_earlier_live_is_overwritten(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, epoch="e2")
    rooms = [await load_room(stores, live_id, BERT.user_id) for _ in range(2)]
    for room in rooms:
        room.enter(BERT, NOW + 5)
    await save_room(stores, rooms[0])
    assert (await stored_member(stores, BERT)).epoch == "e2"
    with pytest.raises(WriteConflict):
        await save_room(stores, rooms[1])


@gen_test
async def test_concurrent_accept_and_leave_keep_seat_and_membership_consistent(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    accepting, leaving = [await load_room(stores, live_id, BERT.user_id) for _ in range(2)]
    accepting.accept(BERT, "open", "s", "")
    leaving.leave(BERT.user_id)
    results = await asyncio.gather(
        save_room(stores, accepting), save_room(stores, leaving), return_exceptions=True
    )
    assert sum(isinstance(it, WriteConflict) for it in results) == 1
    room = await load_room(stores, live_id, BERT.user_id)
    assert (room.male is None) == (room.role_of(BERT.user_id) is None)


@pytest.mark.parametrize("first", ["leave", "invitation"])
@gen_test
async def test_concurrent_invitation_and_leave_conflict(stores: StoresFixture, first: str) -> None:
    live_id = await open_room(stores, BERT)
    invited, left = [await load_room(stores, live_id, BERT.user_id) for _ in range(2)]
    invited.invite(HOST.user_id, BERT, NOW, 60)
    left.leave(BERT.user_id)
    order = [left, invited] if first == "leave" else [invited, left]
    await save_room(stores, order[0])
    with pytest.raises(WriteConflict):
        await save_room(stores, order[1])
    room = await load_room(stores, live_id, BERT.user_id)
    assert (BERT.user_id in room.applications) == (room.role_of(BERT.user_id) is not None)


@gen_test
async def test_expiry_resets_the_role_of_a_member_that_was_not_loaded(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW, 1), BERT.user_id)
    await change_room(stores, live_id, lambda room: room.expire(NOW + 1_000))
    assert (await stored_member(stores, BERT)).role == "viewer"


@gen_test
async def test_counts_by_gender_and_role_exclude_the_host(stores: StoresFixture) -> None:
    viewer = Person("30000001", "m", "", 1)
    live_id = await open_room(stores, BERT, CARL, viewer, ANNA, DORA, KIM)
    await change_room(stores, live_id, lambda r: r.apply(BERT, NOW, 600), BERT.user_id)
    await accept_user(stores, live_id, CARL, "s")
    await change_room(stores, live_id, lambda r: r.apply(ANNA, NOW, 600), ANNA.user_id)
    await change_room(stores, live_id, lambda r: r.apply(DORA, NOW, 600), DORA.user_id)
    counts = (await stores.members.counts([(live_id, "e1")]))[live_id]
    assert counts == MemberCounts(men_applying=1, men=3, women_applying=2, women=2, others=1)
    assert counts.num_list == [1, 3, 2, 2]
    assert counts.audience == 7


@gen_test
async def test_counts_are_limited_to_the_requested_live(stores: StoresFixture) -> None:
    first = await open_room(stores, BERT)
    await change_room(stores, first, lambda room: room.close("host"))
    await open_room(stores, epoch="e2")
    second = await open_room(stores, CARL, host=ANNA, epoch="a1")
    counts = await stores.members.counts(it for it in [(first, "e2"), (second, "a1"), (99, "x")])
    assert counts == {first: MemberCounts(), second: MemberCounts(men=1), 99: MemberCounts()}
    assert await stores.members.counts([]) == {}


@gen_test
async def test_viewers_are_sorted_by_entry_and_exclude_other_roles(stores: StoresFixture) -> None:
    live_id = await open_room(stores, ANNA)
    viewers = [Person(f"3000000{n}", f"m{n}", "", 1) for n in range(6)]
    for n, viewer in enumerate(viewers):
        await change_room(
            stores, live_id, lambda r, p=viewer, n=n: r.enter(p, NOW - n), viewer.user_id
        )
    await change_room(stores, live_id, lambda r: r.apply(viewers[0], NOW, 600), viewers[0].user_id)
    await change_room(
        stores, live_id, lambda r: r.accept(viewers[1], "open", "s", ""), viewers[1].user_id
    )
    await change_room(
        stores,
        live_id,
        lambda r: r.invite(HOST.user_id, viewers[2], NOW, 60) if not r.male else None,
    )
    ids = [viewer.user_id for viewer in reversed(viewers[2:])]
    assert await stores.members.viewers(live_id, "e1", 1, 0, 10) == ids
    assert await stores.members.viewers(live_id, "e1", 1, 1, 2) == ids[1:3]
    assert await stores.members.viewers(live_id, "e1", 2, 0, 10) == [ANNA.user_id]
    assert await stores.members.viewers(live_id, "e0", 1, 0, 10) == []


@pytest.mark.parametrize("pages_per_query", [1, 2, 100])
@gen_test
async def test_pages_of_viewers_requested_at_once_are_read_for_each_room(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, pages_per_query: int
) -> None:
    monkeypatch.setattr(members_module, "PAGES_PER_QUERY", pages_per_query)
    first, second = await open_room(stores, BERT), await open_room(stores, CARL, host=ANNA)
    pages = [(first, "e1", 1, 0, 8), (second, "e1", 1, 0, 8), (first, "e1", 1, 1, 8)]
    found = await asyncio.gather(*(stores.members.viewers(*page) for page in [*pages, pages[0]]))
    assert found == [[BERT.user_id], [CARL.user_id], [], [BERT.user_id]]


@gen_test
async def test_gender_change_updates_the_viewers_membership(stores: StoresFixture) -> None:
    live_id = await open_room(stores, KIM)
    outdated = await load_room(stores, live_id, KIM.user_id)
    await set_gender(stores, KIM, 2)
    stored = await stored_member(stores, KIM)
    assert (stored.gender, stored.v) == (2, 1)
    outdated.leave(KIM.user_id)
    with pytest.raises(WriteConflict):
        await save_room(stores, outdated)


@gen_test
async def test_gender_is_in_use_while_applied_or_on_mic(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    await change_room(stores, live_id, lambda r: r.apply(BERT, NOW, 600), BERT.user_id)
    await accept_user(stores, live_id, CARL, "s")
    for person in (BERT, CARL):
        with pytest.raises(GenderInUse):
            await set_gender(stores, person, 2)
        await set_gender(stores, person, 1)
        assert (await stored_member(stores, person)).gender == 1


@gen_test
async def test_gender_is_not_in_use_after_the_live_has_ended(stores: StoresFixture) -> None:
    """Memberships are deleted after the live has ended; a crash may leave some behind."""
    live_id = await open_room(stores, BERT)
    await change_room(stores, live_id, lambda r: r.apply(BERT, NOW, 600), BERT.user_id)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await set_gender(stores, BERT, 2)
    await open_room(stores, epoch="e2")
    await set_gender(stores, BERT, 1)


@gen_test
async def test_user_in_no_room_may_change_gender(stores: StoresFixture) -> None:
    await set_gender(stores, BERT, 2)
    assert await stores.members.get(BERT.user_id) is None


@gen_test
async def test_two_lives_of_a_room_counted_at_once_are_not_added_up(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    other = await open_room(stores, CARL, host=ANNA, epoch="e2")
    counts = await asyncio.gather(
        *(stores.members.count(*it) for it in [(live_id, "e1"), (live_id, "e2"), (other, "e2")])
    )
    assert counts == [MemberCounts(men=1), MemberCounts(), MemberCounts(men=1)]
