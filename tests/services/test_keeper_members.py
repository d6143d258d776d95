import asyncio
from dataclasses import replace
from typing import Any

import pytest

from core.errors import TryAgain
from rooms.errors import HostIsLive, NotHost, NotLive, RemovedFromRoom, RoomNotFound
from rooms.members import Member, Person
from rooms.room import Room
from services import keeper as keeper_module
from tests.support.keeper import OTHER_HOST, KeeperFixture
from tests.support.room_builders import ANNA, BERT, CARL, HOST

# ---- enter, leave_all


async def test_entering_returns_the_room_with_the_new_member() -> None:
    fixture = KeeperFixture()
    room = await fixture.keeper.enter(1, BERT)
    assert room.role_of(BERT.user_id) == "viewer"
    assert fixture.take_calls() == [("save", 1), ("publish", 1), ("audience", 1)]
    await fixture.keeper.enter(1, BERT)
    assert fixture.take_calls() == []


async def test_entering_another_room_frees_the_seat_in_the_first() -> None:
    fixture = KeeperFixture(BERT)
    fixture.seat(BERT)
    await fixture.keeper.enter(2, BERT)
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


async def test_a_failed_entry_keeps_the_membership_of_the_other_room() -> None:
    fixture = KeeperFixture(BERT)
    fixture.store.change(2, lambda room: room.close("host"))
    for live_id, error in ((2, NotLive), (9, RoomNotFound)):
        with pytest.raises(error):
            await fixture.keeper.enter(live_id, BERT)
    assert fixture.room().role_of(BERT.user_id) == "viewer"
    assert fixture.take_calls() == []


async def test_a_host_cannot_enter_another_room_while_live() -> None:
    fixture = KeeperFixture()
    with pytest.raises(HostIsLive):
        await fixture.keeper.enter(2, HOST)
    assert fixture.take_calls() == []
    assert fixture.room().live


async def test_a_host_reenters_the_own_room_as_host() -> None:
    fixture = KeeperFixture()
    assert (await fixture.keeper.enter(1, HOST)).role_of(HOST.user_id) == "host"
    assert fixture.take_calls() == []


async def test_a_membership_of_an_ended_live_does_not_prevent_entry() -> None:
    fixture = KeeperFixture(BERT)
    fixture.store.change(1, lambda room: room.close("host"))
    for person in (BERT, HOST):
        await fixture.keeper.enter(2, person)
        assert fixture.store.members[person.user_id].live_id == 2


async def test_a_concurrent_entry_into_another_room_ends_in_try_again_at_once() -> None:
    fixture = KeeperFixture()
    fixture.store.conflicts = 1
    fixture.store.rival = lambda: fixture.enter(BERT, 2)
    with pytest.raises(TryAgain):
        await fixture.keeper.enter(1, BERT)
    assert fixture.store.loads < 5
    assert fixture.store.members[BERT.user_id].live_id == 2
    assert (await fixture.keeper.enter(1, BERT)).role_of(BERT.user_id) == "viewer"


async def test_removing_a_host_ends_the_live_and_clears_its_memberships() -> None:
    fixture = KeeperFixture(BERT, ANNA)
    await fixture.keeper.leave_all(HOST.user_id)
    assert fixture.take_calls() == [
        ("save", 1, 1),
        ("publish", 1, (1, "live_end")),
        ("clear", 1, "e"),
    ]
    assert not fixture.room().live
    assert fixture.store.members.keys() == {OTHER_HOST.user_id}


async def test_removing_a_user_publishes_the_reason() -> None:
    fixture = KeeperFixture(BERT)
    fixture.seat(BERT)
    received: list[Any] = []
    fixture.listener.publish = lambda _, events: received.extend(events)
    await fixture.keeper.leave_all(BERT.user_id, "banned")
    assert [(event.type, event.data["reason"]) for event in received] == [("micro_leave", "banned")]


async def test_removing_a_user_without_membership_changes_nothing() -> None:
    fixture = KeeperFixture()
    await fixture.keeper.leave_all(BERT.user_id)
    assert fixture.take_calls() == []


async def test_leave_all_spares_the_named_room() -> None:
    fixture = KeeperFixture(BERT)
    await fixture.keeper.leave_all(BERT.user_id, but=1)
    assert BERT.user_id in fixture.store.members
    await fixture.keeper.leave_all(BERT.user_id, but=2)
    assert BERT.user_id not in fixture.store.members


async def test_leave_all_gives_up_on_a_user_who_keeps_entering_rooms() -> None:
    fixture = KeeperFixture(BERT)
    stored_membership = fixture.store.membership_of

    async def membership_of(user_id: str) -> Member | None:
        if user_id not in fixture.store.members:
            fixture.enter(BERT, 2)
        return await stored_membership(user_id)

    fixture.store.membership_of = membership_of
    with pytest.raises(TryAgain):
        await fixture.keeper.leave_all(BERT.user_id, "banned")
    assert BERT.user_id not in fixture.store.members


# ---- removal and bans


def in_a_minute() -> int:
    return keeper_module.now_ms() + 60_000


async def remove_user(fixture: KeeperFixture, by: Person, person: Person) -> bool:
    until, user_id = in_a_minute(), person.user_id
    return await fixture.keeper.remove_user(
        1, user_id, lambda room: room.remove_user(by.user_id, user_id, until)
    )


async def test_a_removed_guest_is_evicted_and_cannot_reenter_while_banned() -> None:
    fixture = KeeperFixture(BERT)
    fixture.seat(BERT)
    await remove_user(fixture, HOST, BERT)
    assert fixture.take_calls() == [
        ("save", 1, 2),
        ("publish", 1, (2, "micro_leave")),
        ("audience", 1),
        ("evict", 1, BERT.user_id, 0, "banned"),
    ]
    assert BERT.user_id not in fixture.store.members
    with pytest.raises(RemovedFromRoom):
        await fixture.keeper.enter(1, BERT)
    assert fixture.take_calls() == []


async def test_removing_a_user_who_is_not_in_the_room_bans_them_too() -> None:
    fixture = KeeperFixture()
    await remove_user(fixture, HOST, BERT)
    calls = fixture.take_calls()
    assert [call[:1] + call[4:] for call in calls] == [("save",), ("publish",), ("evict", "banned")]
    with pytest.raises(RemovedFromRoom):
        await fixture.keeper.enter(1, BERT)


async def test_a_user_removed_from_one_room_stays_in_another() -> None:
    fixture = KeeperFixture()
    await fixture.keeper.enter(2, BERT)
    fixture.take_calls()
    await remove_user(fixture, HOST, BERT)
    assert [call[:2] for call in fixture.take_calls()] == [
        ("save", 1),
        ("publish", 1),
        ("evict", 1),
    ]
    assert fixture.store.members[BERT.user_id].live_id == 2


async def test_a_refused_removal_removes_no_user() -> None:
    fixture = KeeperFixture(BERT, CARL)
    with pytest.raises(NotHost):
        await remove_user(fixture, BERT, CARL)
    assert fixture.take_calls() == []
    assert fixture.room().role_of(CARL.user_id) == "viewer"


async def test_a_user_removed_during_entry_is_out_when_the_entry_is_written_last() -> None:
    fixture = KeeperFixture()
    fixture.store.before_save = [
        lambda: fixture.store.change(
            1, lambda room: room.remove_user(HOST.user_id, BERT.user_id, in_a_minute())
        )
    ]
    with pytest.raises(RemovedFromRoom):
        await fixture.keeper.enter(1, BERT)
    assert BERT.user_id not in fixture.store.members
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 0, "banned")


async def test_a_user_removed_during_entry_is_out_when_the_entry_is_written_first() -> None:
    fixture = KeeperFixture()
    fixture.store.before_save = [lambda: fixture.enter(BERT)]
    await remove_user(fixture, HOST, BERT)
    assert BERT.user_id not in fixture.store.members
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 0, "banned")
    assert fixture.room().is_banned(BERT.user_id, keeper_module.now_ms())


async def test_concurrent_entry_and_removal_leave_the_user_outside_in_any_order() -> None:
    for order in range(2):
        fixture = KeeperFixture()
        calls = [fixture.keeper.enter(1, BERT), remove_user(fixture, HOST, BERT)]
        results = await asyncio.gather(*(calls[::-1] if order else calls), return_exceptions=True)
        assert all(isinstance(result, Room | RemovedFromRoom | bool) for result in results)
        assert BERT.user_id not in fixture.store.members


async def test_reentry_of_a_member_needs_no_second_ban_check() -> None:
    fixture = KeeperFixture(BERT)
    fixture.store.loads = 0
    await fixture.keeper.enter(1, BERT)
    assert fixture.store.loads == 1


async def test_leave_all_evicts_without_a_ban() -> None:
    fixture = KeeperFixture(BERT)
    await fixture.keeper.leave_all(BERT.user_id, "banned")
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 0)


async def test_an_eviction_names_the_last_socket_of_the_member() -> None:
    """An eviction may arrive after the user has reconnected with a newer socket."""
    fixture = KeeperFixture(BERT)
    fixture.store.members[BERT.user_id] = replace(fixture.store.members[BERT.user_id], socket=41)
    await fixture.keeper.change(
        1, lambda room: room.remove_member(BERT.user_id, "left"), BERT.user_id
    )
    assert fixture.take_calls()[-1] == ("evict", 1, BERT.user_id, 41)


async def test_evicting_a_user_who_is_not_in_the_room_covers_all_earlier_sockets() -> None:
    """Sockets are numbered by time, and newer ones stay open."""
    fixture, before = KeeperFixture(), keeper_module.now_ms()
    await fixture.keeper.change(
        1, lambda room: room.remove_member(BERT.user_id, "left"), BERT.user_id
    )
    ((*call, number),) = fixture.take_calls()
    assert call == ["evict", 1, BERT.user_id]
    assert before <= number <= keeper_module.now_ms()


async def test_removal_returns_whether_the_user_was_on_mic() -> None:
    fixture = KeeperFixture(BERT, CARL)
    fixture.seat(BERT)
    assert await remove_user(fixture, HOST, BERT) is True
    assert await remove_user(fixture, HOST, CARL) is False
