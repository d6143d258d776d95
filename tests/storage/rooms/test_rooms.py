"""Rooms with their event logs, and memberships, on a real MongoDB."""

import asyncio
import copy
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from core import limits
from rooms.errors import GenderInUse
from rooms.events import LOG_SIZE
from rooms.members import Member, MemberCounts, Person
from rooms.state import Seat
from storage.errors import StorageUnavailable
from storage.rooms import members as members_module
from storage.rooms.rooms import CONCURRENT_LOG_READS
from tests.support.room_builders import ANNA, BERT, CARL, DORA, GRACE, HOST, KIM, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    LATER,
    accept_user,
    change_profile,
    change_room,
    disconnect,
    find_membership,
    load_room,
    member_fields,
    open_room,
    remove_user,
    room_document,
    save_room,
)
from tests.support.waiting import recorded_timeouts, run_ready_tasks

# ---- rooms of hosts


async def test_host_has_one_room_however_many_requests_create_it(stores: StoresFixture) -> None:
    created = await asyncio.gather(*(stores.rooms.get_or_create(HOST) for _ in range(10)))
    assert len(set(created)) == 1
    live_id, _, ready = await stores.rooms.get_or_create(HOST)
    assert (live_id, ready) == (created[0][0], False)
    assert (await stores.rooms.get_or_create(BERT))[0] != live_id
    room = await load_room(stores, live_id)
    assert not room.live
    assert (room.owner, room.epoch, room.version) == (Seat(HOST, ""), "", 0)


async def test_members_invited_by_message_by_two_processes_at_once_are_both_invited(
    stores: StoresFixture,
) -> None:
    """No event tells the second write that the room has changed since it was loaded."""
    live_id = await open_room(stores, BERT, ANNA)
    rooms = [await load_room(stores, live_id, person.user_id) for person in (BERT, ANNA)]
    for room, person in zip(rooms, (BERT, ANNA), strict=True):
        room.note_invitation(HOST.user_id, person.user_id, NOW + 1)
        await save_room(stores, room)
    room = await load_room(stores, live_id)
    assert room.invited_by_message_until == {BERT.user_id: NOW + 1, ANNA.user_id: NOW + 1}
    room.refuse(BERT.user_id)
    await save_room(stores, room)
    assert (await load_room(stores, live_id)).invited_by_message_until == {ANNA.user_id: NOW + 1}


# ---- save and load


async def test_room_is_loaded_as_it_was_saved(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    user_ids = [person.user_id for person in (HOST, BERT, ANNA, CARL)]
    await disconnect(stores, HOST, live_id)
    room = await load_room(stores, live_id, *user_ids)
    room.accept(BERT, "open", "sb", "u")
    room.apply(ANNA, NOW)
    room.invite(HOST.user_id, ANNA, NOW)
    room.apply_absence(HOST.user_id, LATER + GRACE.shown, GRACE, since=0, streams=False)
    await save_room(stores, room)
    loaded = await load_room(stores, live_id, *user_ids)
    for name in ("owner", "male", "female", "applications", "epoch", "status", "started_at"):
        assert getattr(loaded, name) == getattr(room, name)
    assert (loaded.owner.away, loaded.status, loaded.version) == (True, "paused", len(room.events))
    assert [loaded.role_of(p) for p in user_ids] == ["host", "male", "applied", "viewer"]


async def test_room_is_loaded_with_the_requested_memberships(stores: StoresFixture) -> None:
    first, second = await open_room(stores, BERT, ANNA), await open_room(stores, host=CARL)
    assert (await load_room(stores, first)).members == {}
    room = await load_room(stores, second, BERT.user_id, "unknown")
    assert [(id_, member.live_id) for id_, member in room.members.items()] == [
        (BERT.user_id, first)
    ]
    assert room.role_of(BERT.user_id) is None
    assert await stores.rooms.load(99, [BERT.user_id]) is None


async def test_rooms_that_are_loaded_at_once_are_one_query_and_share_nothing(
    stores: StoresFixture, commands: list[str]
) -> None:
    live_id, other_id = await open_room(stores, BERT, ANNA), await open_room(stores, host=CARL)
    await accept_user(stores, live_id, BERT, "b")
    await remove_user(stores, live_id, ANNA, NOW + 1_000)
    commands.clear()
    requests = [(live_id, BERT), (live_id, BERT), (other_id, CARL)]
    loads = [load_room(stores, id_, person.user_id) for id_, person in requests]
    one, two, other = await asyncio.gather(*loads)
    assert commands == ["aggregate"]
    assert (other.live_id, *other.members) == (other_id, CARL.user_id)
    before = copy.deepcopy(two)
    one.leave_mic(HOST, BERT.user_id, removed_until=NOW + 1_000)
    one.ban(CARL, NOW + 1_000, HOST)
    assert (one.needs_invitation_until, one.bans) != (two.needs_invitation_until, two.bans)
    assert two == before


async def test_a_document_sets_the_stored_fields_of_a_room_alone(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    before = await load_room(stores, live_id)
    more = {"of_a_later_release": 1}
    await stores.rows("rooms").update_one({"_id": live_id}, {"$set": more})
    assert await load_room(stores, live_id) == before


# ---- queries over many rooms


async def test_room_is_due_when_its_first_application_expires(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, CARL)
    await change_room(stores, live_id, lambda room: room.apply(BERT, NOW), BERT.user_id)
    await change_room(stores, live_id, lambda room: room.apply(CARL, NOW - 1), CARL.user_id)
    assert await stores.rooms.due(NOW + 599_998) == []
    assert await stores.rooms.due(NOW + 599_999) == [live_id]
    await change_room(stores, live_id, lambda room: room.expire(NOW + 599_999))
    assert await stores.rooms.due(NOW + 599_999) == []
    assert await stores.rooms.due(NOW + 600_000) == [live_id]
    await change_room(stores, live_id, lambda room: room.close("host"))
    assert await stores.rooms.due(NOW + 10**9) == []


async def test_live_rooms_are_listed_newest_first(stores: StoresFixture) -> None:
    ids = []
    for n in range(3):
        host = Person(f"4000000{n}", f"host{n}", "", 1)
        live_id, _, _ = await stores.rooms.get_or_create(host)
        await change_room(
            stores, live_id, lambda r, h=host, n=n: r.open(h, f"e{n}", "s", NOW + n), host.user_id
        )
        ids.append(live_id)
    await change_room(stores, ids[1], lambda room: room.close("host"))
    assert [room.live_id for room in await stores.rooms.live(ids)] == [ids[2], ids[0]]
    versions = {ids[0]: ("e0", 0), ids[1]: ("e1", 1)}
    assert await stores.rooms.versions([*ids[:2], 99]) == versions


# ---- the log


async def test_log_returns_all_missed_events_in_order_or_none(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await change_profile(stores, live_id, 5)
    missed = await stores.rooms.log_since(live_id, "e1", 3)
    assert missed is not None
    assert [(event.epoch, event.seq, event.ts, event.type) for event in missed] == [
        ("e1", 4, NOW, "profile"),
        ("e1", 5, NOW, "profile"),
    ]
    assert missed[1].data["nickname"] == "n4"
    assert await stores.rooms.log_since(live_id, "e1", 5) == []
    for room_id, epoch, seq in ((live_id, "e0", 1), (live_id, "e1", 6), (99, "e1", 0)):
        assert await stores.rooms.log_since(room_id, epoch, seq) is None
    await stores.rows("rooms").update_one({"_id": live_id}, {"$set": {"log.5.data": None}})
    assert await stores.rooms.log_since(live_id, "e1", 3) is None
    await change_profile(stores, live_id, 1)
    assert len(await stores.rooms.log_since(live_id, "e1", 5) or ()) == 1


async def test_only_some_logs_are_read_at_once_and_one_that_waits_too_long_fails_like_mongodb(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_id = await open_room(stores)
    answering, reading = asyncio.Event(), 0
    find_one = AsyncCollection.find_one

    async def find_later(*args: Any) -> Any:
        nonlocal reading
        reading += 1
        await answering.wait()
        return await find_one(*args)

    monkeypatch.setattr(AsyncCollection, "find_one", find_later)
    timeouts = recorded_timeouts(monkeypatch, limits)
    positions = range(-CONCURRENT_LOG_READS, 0)
    reads = [asyncio.ensure_future(stores.rooms.log_since(live_id, "e1", n)) for n in positions]
    one_more = asyncio.ensure_future(stores.rooms.log_since(live_id, "e1", 0))
    await run_ready_tasks()
    timeouts[-1].reschedule(0)
    with pytest.raises(StorageUnavailable):
        await one_more
    assert reading == CONCURRENT_LOG_READS
    answering.set()
    assert await asyncio.gather(*reads) == [None] * CONCURRENT_LOG_READS
    assert await stores.rooms.log_since(live_id, "e1", 0) is not None


async def test_log_keeps_only_the_last_events_of_any_number(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await stores.rows("rooms").update_one({"_id": live_id}, {"$set": {"version": 10_000}})
    names = [f"n{n}" for n in range(LOG_SIZE + 3)]
    for some in (names[: LOG_SIZE // 2], names[LOG_SIZE // 2 :]):
        room = await load_room(stores, live_id)
        for name in some:
            room.update_profile(Person(room.host_id, name))
        await save_room(stores, room)
    last = 10_000 + LOG_SIZE + 3
    events = await stores.rooms.log_since(live_id, "e1", last - LOG_SIZE)
    assert events is not None
    assert [event.seq for event in events] == list(range(last - LOG_SIZE + 1, last + 1))
    assert [event.data["nickname"] for event in events] == names[3:]
    assert await stores.rooms.log_since(live_id, "e1", last - LOG_SIZE - 1) is None
    assert len((await room_document(stores, live_id))["log"]) == LOG_SIZE


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


@pytest.mark.parametrize("pages_per_query", [2, 100])
async def test_pages_of_viewers_asked_for_at_once_are_sorted_by_entry_and_exclude_other_roles(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, pages_per_query: int
) -> None:
    monkeypatch.setattr(members_module, "PAGES_PER_QUERY", pages_per_query)
    live_id, other = await open_room(stores, ANNA), await open_room(stores, CARL, host=BERT)
    viewers = [Person(f"3000000{n}", f"m{n}", "", 1) for n in range(5)]
    for n, viewer in enumerate(viewers):
        await change_room(
            stores, live_id, lambda r, p=viewer, n=n: r.enter(p, NOW - n), viewer.user_id
        )
    await apply(stores, live_id, viewers[0])
    await accept_user(stores, live_id, viewers[1])
    ids = [viewer.user_id for viewer in reversed(viewers[2:])]
    expected = {
        (live_id, "e1", 1, 0, 10): ids,
        (live_id, "e1", 1, 1, 2): ids[1:3],
        (live_id, "e1", 2, 0, 10): [ANNA.user_id],
        (live_id, "e0", 1, 0, 10): [],
        (other, "e1", 1, 0, 10): [CARL.user_id],
    }
    pages = [*expected, *expected]
    found = await asyncio.gather(*(stores.members.viewers(*page) for page in pages))
    assert found == [expected[page] for page in pages]


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
