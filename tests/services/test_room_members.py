"""Entering, leaving and removal: a user is in one room, and a ban reaches them everywhere."""

from dataclasses import replace

import pytest

from core.errors import TryAgain
from rooms.errors import HostIsLive, NotLive, RemovedFromRoom, RoomNotFound
from rooms.events import NumberedEvent
from rooms.members import Member, Person
from services import room_changes as room_changes_module
from tests.support.room_builders import BERT, CARL, HOST
from tests.support.room_changes import RoomChangesFixture


async def test_a_member_enters_once() -> None:
    fixture = RoomChangesFixture()
    room = await fixture.room_changes.enter(1, BERT)
    assert room.role_of(BERT.user_id) == "viewer"
    assert fixture.take_calls() == [("save", 1), ("publish", 1), ("audience", 1)]
    fixture.store.loads = 0
    await fixture.room_changes.enter(1, BERT)
    assert fixture.take_calls() == []
    assert fixture.store.loads == 1, "no second check of bans"


async def test_entering_another_room_frees_the_seat_in_the_first() -> None:
    fixture = RoomChangesFixture(BERT)
    fixture.seat(BERT)
    await fixture.room_changes.enter(2, BERT)
    assert fixture.take_calls() == [
        ("save", 1, 2),
        ("publish", 1, (2, "micro_leave")),
        ("audience", 1),
        ("evict", 1, BERT.user_id, 0),
        ("save", 2),
        ("publish", 2),
        ("audience", 2),
    ]
    assert fixture.room().male is None
    assert fixture.store.members[BERT.user_id].live_id == 2


@pytest.mark.parametrize(
    ("person", "live_id", "error"),
    [(BERT, 9, RoomNotFound), (BERT, 2, NotLive), (HOST, 3, HostIsLive)],
    ids=["unknown room", "ended live", "host of another live"],
)
async def test_a_refused_entry_keeps_the_membership_of_the_other_room(
    person: Person, live_id: int, error: type[Exception]
) -> None:
    fixture = RoomChangesFixture(BERT)
    fixture.store.change(2, lambda room: room.close("host"))
    fixture.open(3, CARL)
    with pytest.raises(error):
        await fixture.room_changes.enter(live_id, person)
    assert fixture.store.members[person.user_id].live_id == 1
    assert fixture.take_calls() == []


async def test_a_membership_of_an_ended_live_does_not_prevent_entry() -> None:
    fixture = RoomChangesFixture(BERT)
    fixture.store.change(1, lambda room: room.close("host"))
    for person in (BERT, HOST):
        await fixture.room_changes.enter(2, person)
        assert fixture.store.members[person.user_id].live_id == 2


# ---- remove


async def test_removing_removes_a_user_from_any_but_the_named_room() -> None:
    fixture = RoomChangesFixture(BERT)
    fixture.seat(BERT)
    await fixture.room_changes.remove(CARL.user_id)
    await fixture.room_changes.remove(BERT.user_id, but=1)
    assert fixture.take_calls() == []
    received: list[NumberedEvent] = []
    fixture.listener.publish = lambda _, events: received.extend(events)
    await fixture.room_changes.remove(BERT.user_id, "banned", but=2)
    assert [(event.type, event.data["reason"]) for event in received] == [("micro_leave", "banned")]
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 0)
    assert BERT.user_id not in fixture.store.members


async def test_removing_gives_up_on_a_user_who_keeps_entering_rooms() -> None:
    fixture = RoomChangesFixture(BERT)
    stored_membership = fixture.store.get

    async def membership_of(user_id: str) -> Member | None:
        if user_id not in fixture.store.members:
            fixture.enter(BERT, 2)
        return await stored_membership(user_id)

    fixture.store.get = membership_of
    with pytest.raises(TryAgain):
        await fixture.room_changes.remove(BERT.user_id, "banned")


# ---- removal and bans


def in_a_minute() -> int:
    return room_changes_module.now_ms() + 60_000


async def remove_user(fixture: RoomChangesFixture, person: Person) -> bool:
    return await fixture.room_changes.ban(1, person, in_a_minute(), HOST)


async def test_a_removed_guest_is_evicted_and_cannot_reenter_while_banned() -> None:
    fixture = RoomChangesFixture(BERT)
    fixture.seat(BERT)
    assert await remove_user(fixture, BERT) is True, "they were on mic"
    assert fixture.take_calls() == [
        ("save", 1, 2),
        ("publish", 1, (2, "micro_leave")),
        ("audience", 1),
        ("evict", 1, BERT.user_id, 0, "banned"),
    ]
    assert BERT.user_id not in fixture.store.members
    with pytest.raises(RemovedFromRoom):
        await fixture.room_changes.enter(1, BERT)
    assert fixture.take_calls() == []


async def test_a_user_who_is_in_another_room_is_banned_and_stays_there() -> None:
    fixture = RoomChangesFixture()
    fixture.enter(BERT, live_id=2)
    assert await remove_user(fixture, BERT) is False
    calls = fixture.take_calls()
    assert [call[:2] for call in calls] == [("save", 1), ("publish", 1), ("evict", 1)]
    assert calls[-1][-1] == "banned"
    assert fixture.store.members[BERT.user_id].live_id == 2
    with pytest.raises(RemovedFromRoom):
        await fixture.room_changes.enter(1, BERT)


async def test_a_user_removed_during_entry_is_out_when_the_entry_is_written_last() -> None:
    fixture = RoomChangesFixture()
    fixture.store.before_save = iter(
        [lambda: fixture.store.change(1, lambda room: room.ban(BERT, in_a_minute(), HOST))]
    )
    with pytest.raises(RemovedFromRoom):
        await fixture.room_changes.enter(1, BERT)
    assert BERT.user_id not in fixture.store.members
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 0, "banned")


async def test_a_user_removed_during_entry_is_out_when_the_entry_is_written_first() -> None:
    fixture = RoomChangesFixture()
    fixture.store.before_save = iter([lambda: fixture.enter(BERT)])
    await remove_user(fixture, BERT)
    assert BERT.user_id not in fixture.store.members
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 0, "banned")
    assert fixture.room().is_banned(BERT.user_id, room_changes_module.now_ms())


async def test_an_eviction_names_the_last_socket_of_the_member() -> None:
    """It may arrive after the user has reconnected with a newer socket."""
    fixture = RoomChangesFixture(BERT)
    fixture.store.members[BERT.user_id] = replace(fixture.store.members[BERT.user_id], socket=41)
    await fixture.room_changes.remove(BERT.user_id)
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 41)
