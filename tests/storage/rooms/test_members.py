"""Memberships on a real MongoDB."""

import asyncio

import pytest

from rooms.errors import GenderInUse
from rooms.members import Member, MemberCounts, Person
from storage.rooms import members as members_module
from tests.support.room_builders import ANNA, BERT, CARL, DORA, HOST, KIM, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    accept_user,
    change_room,
    find_membership,
    member_fields,
    open_room,
)


async def set_gender(stores: StoresFixture, person: Person, gender: int) -> None:
    await stores.database.transaction(
        lambda session: stores.members.set_gender(person.user_id, gender, session)
    )


async def apply(stores: StoresFixture, live_id: int, person: Person) -> None:
    await change_room(stores, live_id, lambda r: r.apply(person, NOW), person.user_id)


async def test_a_new_member_is_present_without_a_socket(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    assert await find_membership(stores, BERT) == Member(
        BERT.user_id, live_id, "e1", 1, "viewer", NOW
    )
    assert await member_fields(stores, BERT, "due_at", "seen_at") == (None, NOW)
    assert await stores.members.get("unknown") is None


async def test_expiry_resets_the_role_of_a_member_not_loaded(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await apply(stores, live_id, BERT)
    await change_room(stores, live_id, lambda room: room.expire(NOW + 600_000))
    assert await member_fields(stores, BERT, "role", "version") == ("viewer", 2)


async def test_counts_by_gender_and_role_exclude_the_host(stores: StoresFixture) -> None:
    viewer = Person("30000001", "m", "", 1)
    live_id = await open_room(stores, BERT, CARL, viewer, ANNA, DORA, KIM)
    await accept_user(stores, live_id, CARL, "s")
    for person in (BERT, ANNA, DORA):
        await apply(stores, live_id, person)
    counts = await stores.members.count(live_id, "e1")
    assert counts == MemberCounts(men_applying=1, men=3, women_applying=2, women=2, others=1)
    assert counts.num_list == [1, 3, 2, 2]
    assert counts.audience == 7


async def test_counts_are_those_of_the_requested_lives(stores: StoresFixture) -> None:
    first, second = await open_room(stores, BERT), await open_room(stores, CARL, host=ANNA)
    await change_room(stores, second, lambda room: room.close("host"))
    await open_room(stores, KIM, host=ANNA, epoch="e2")
    lives = [(first, "e1"), (first, "e2"), (second, "e1"), (second, "e2"), (99, "e1")]
    one, none, other = MemberCounts(men=1), MemberCounts(), MemberCounts(others=1)
    found = await asyncio.gather(*(stores.members.count(*live) for live in lives))
    assert found == [one, none, one, other, none]
    counts = await stores.members.counts(live for live in [(first, "e2"), (second, "e2")])
    assert counts == {first: none, second: other}
    assert await stores.members.counts([]) == {}


async def test_viewers_are_sorted_by_entry_and_exclude_other_roles(stores: StoresFixture) -> None:
    live_id = await open_room(stores, ANNA)
    viewers = [Person(f"3000000{n}", f"m{n}", "", 1) for n in range(5)]
    for n, viewer in enumerate(viewers):
        await change_room(
            stores, live_id, lambda r, p=viewer, n=n: r.enter(p, NOW - n), viewer.user_id
        )
    await apply(stores, live_id, viewers[0])
    await accept_user(stores, live_id, viewers[1])
    ids = [viewer.user_id for viewer in reversed(viewers[2:])]
    assert await stores.members.viewers(live_id, "e1", 1, 0, 10) == ids
    assert await stores.members.viewers(live_id, "e1", 1, 1, 2) == ids[1:3]
    assert await stores.members.viewers(live_id, "e1", 2, 0, 10) == [ANNA.user_id]
    assert await stores.members.viewers(live_id, "e0", 1, 0, 10) == []


async def test_pages_of_viewers_requested_at_once_are_read_for_each_room(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await open_room(stores, BERT), await open_room(stores, CARL, host=ANNA)
    pages = [(first, "e1", 1, 0, 8), (second, "e1", 1, 0, 8), (first, "e1", 1, 1, 8)]
    pages.append(pages[0])
    for pages_per_query in (2, 100):
        monkeypatch.setattr(members_module, "PAGES_PER_QUERY", pages_per_query)
        found = await asyncio.gather(*(stores.members.viewers(*page) for page in pages))
        assert found == [[BERT.user_id], [CARL.user_id], [], [BERT.user_id]]


async def test_gender_is_in_use_while_invited_applied_or_on_mic(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL, DORA, KIM)
    await change_room(stores, live_id, lambda r: r.invite(HOST.user_id, DORA, NOW), DORA.user_id)
    await apply(stores, live_id, BERT)
    await accept_user(stores, live_id, CARL)
    for person in (BERT, CARL, DORA):
        with pytest.raises(GenderInUse):
            await set_gender(stores, person, 0)
        await set_gender(stores, person, person.gender)
    await set_gender(stores, KIM, 2)
    await set_gender(stores, Person("unknown"), 2)
    assert await member_fields(stores, KIM, "gender", "version") == (2, 1)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await set_gender(stores, BERT, 2)  # memberships are deleted after the end, unless by a crash
    await open_room(stores, epoch="e2")
    await set_gender(stores, CARL, 2)
    assert await stores.members.get("unknown") is None
