"""Removal of users, by the host or operators, and the ban that follows."""

import copy

import pytest

from core.errors import InvalidParameter
from rooms.errors import NotHost, NotInRoom, NotLive, RemovedFromRoom
from rooms.members import Person
from rooms.room import Room
from rooms.state import MAX_BANS
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    HOST,
    NOW,
    STRANGER,
    events_of,
    live_room,
    membership,
    new_room,
    reloaded,
    room_with_away,
    room_with_guests,
)

UNTIL = NOW + 60_000


def full_room() -> Room:
    """BERT on mic, CARL applied, ANNA invited, DORA watching."""
    room = room_with_guests(BERT, watching=(CARL, ANNA, DORA))
    room.apply(CARL, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    return reloaded(room)


def remove_user(room: Room, person: Person, until: int = UNTIL) -> Room:
    room.remove_user(HOST.user_id, person.user_id, until)
    return room


# ---- removal


@pytest.mark.parametrize(
    ("person", "event_type"),
    [(BERT, "micro_leave"), (CARL, "micro_refuse"), (ANNA, "micro_refuse"), (DORA, None)],
    ids=["guest", "applicant", "invited", "viewer"],
)
def test_a_removed_user_loses_seat_application_and_membership(person: Person, event_type) -> None:
    room = remove_user(full_room(), person)
    assert events_of(room) == (
        [(event_type, {**person.face(), "reason": "host"})] if event_type else []
    )
    assert (room.gone, room.roles, room.banned_until_left) == (
        {person.user_id},
        {},
        {person.user_id},
    )
    assert room.not_present == set()
    assert room.blocked == {person.user_id: UNTIL}
    assert f"blocked.{person.user_id}" in room.touched
    room = reloaded(room)
    assert room.role_of(person.user_id) is None
    assert person.user_id not in room.applications
    assert room.seat_of(person.user_id) is None


def test_removing_a_guest_drops_the_stream() -> None:
    assert remove_user(full_room(), BERT).dropped == {"stream-bert"}
    assert remove_user(full_room(), CARL).dropped == set()


def test_a_disconnected_guest_can_be_removed() -> None:
    room = remove_user(room_with_away(full_room(), BERT), BERT)
    assert [event_type for event_type, _ in events_of(room)] == ["micro_leave"]
    assert room.gone == {BERT.user_id}


def test_a_user_can_be_banned_before_entering() -> None:
    room = remove_user(live_room(), STRANGER)
    assert events_of(room) == []
    assert (room.gone, room.not_present, room.banned_until_left) == (
        set(),
        {STRANGER.user_id},
        {STRANGER.user_id},
    )
    assert room.touched == {f"blocked.{STRANGER.user_id}"}
    assert room.changed


def test_removal_keeps_a_membership_of_another_room() -> None:
    room = live_room()
    room.members[BERT.user_id] = membership(BERT, live_id=2)
    remove_user(room, BERT)
    assert (room.gone, room.not_present) == (set(), {BERT.user_id})
    assert room.blocked == {BERT.user_id: UNTIL}


def test_a_user_who_leaves_is_not_banned() -> None:
    room = full_room()
    room.leave(BERT.user_id)
    assert (room.banned_until_left, room.blocked) == (set(), {})


# ---- refusals


@pytest.mark.parametrize(
    ("host", "person", "error"),
    [
        (BERT, CARL, NotHost),
        (BERT, BERT, NotHost),
        (STRANGER, CARL, NotHost),
        (BERT, HOST, NotHost),
        (HOST, HOST, InvalidParameter),
    ],
)
def test_only_the_host_removes_users_and_only_others(host: Person, person: Person, error) -> None:
    room = full_room()
    before = copy.deepcopy(room)
    with pytest.raises(error):
        room.remove_user(host.user_id, person.user_id, UNTIL)
    assert room == before
    assert (room.banned_until_left, room.not_present) == (set(), set())


@pytest.mark.parametrize(
    ("host", "person", "error"),
    [(HOST, BERT, NotLive), (BERT, CARL, NotHost), (HOST, HOST, InvalidParameter)],
)
def test_users_cannot_be_removed_from_an_ended_live(host: Person, person: Person, error) -> None:
    room = new_room()
    with pytest.raises(error):
        room.remove_user(host.user_id, person.user_id, UNTIL)
    assert not room.changed
    assert room.blocked == {}


# ---- bans


def test_a_removed_user_cannot_reenter_until_the_ban_expires() -> None:
    room = reloaded(remove_user(full_room(), BERT))
    for now in (NOW, UNTIL - 1):
        assert room.is_banned(BERT.user_id, now)
        with pytest.raises(RemovedFromRoom):
            room.enter(BERT, now)
        assert not room.changed
    assert not room.is_banned(BERT.user_id, UNTIL)
    assert room.enter(BERT, UNTIL) == "viewer"


def test_a_ban_does_not_affect_other_users() -> None:
    room = reloaded(remove_user(full_room(), BERT))
    assert not room.is_banned(CARL.user_id, NOW)
    assert room.enter(CARL, NOW) == "applied"
    assert room.enter(STRANGER, NOW) == "viewer"


def test_a_concurrently_written_membership_does_not_lift_a_ban() -> None:
    room = reloaded(remove_user(live_room(), BERT))
    room.members[BERT.user_id] = membership(BERT)
    with pytest.raises(RemovedFromRoom):
        room.enter(BERT, NOW)


def test_a_removed_user_can_neither_apply_nor_be_invited_nor_sit() -> None:
    room = reloaded(remove_user(full_room(), BERT))
    for action in (
        lambda: room.apply(BERT, NOW, 600),
        lambda: room.invite(HOST.user_id, BERT, NOW, 60),
        lambda: room.accept(BERT, "open", "s", "u"),
    ):
        with pytest.raises(NotInRoom):
            action()
    assert not room.changed


def test_removing_again_changes_the_end_of_the_ban() -> None:
    room = reloaded(remove_user(full_room(), BERT))
    room = reloaded(remove_user(room, BERT, UNTIL + 5))
    assert room.is_banned(BERT.user_id, UNTIL)
    room = reloaded(remove_user(room, BERT, NOW))
    assert room.enter(BERT, NOW) == "viewer"


def test_bans_outlive_the_live() -> None:
    room = remove_user(reloaded(remove_user(live_room(BERT, CARL), BERT)), CARL, NOW + 1_000)
    room = reloaded(room)
    room.close("host")
    assert room.blocked == {BERT.user_id: UNTIL, CARL.user_id: NOW + 1_000}
    room = reloaded(room)
    room.open(HOST, "next", "stream", NOW + 999)
    assert room.blocked == {BERT.user_id: UNTIL, CARL.user_id: NOW + 1_000}
    room = reloaded(room)
    with pytest.raises(RemovedFromRoom):
        room.enter(BERT, NOW + 999)


def test_a_new_live_drops_expired_bans() -> None:
    room = remove_user(reloaded(remove_user(live_room(BERT, CARL), BERT)), CARL, NOW + 1_000)
    room = reloaded(room)
    room.close("host")
    room = reloaded(room)
    room.open(HOST, "next", "stream", NOW + 1_000)
    assert room.blocked == {BERT.user_id: UNTIL}
    assert "blocked" in room.touched


def test_the_ban_that_ends_first_makes_room_for_another() -> None:
    room = live_room(BERT)
    for n in range(MAX_BANS):
        room.remove_user(HOST.user_id, f"{20_000_000 + n}", UNTIL + n)
    room = reloaded(remove_user(reloaded(room), BERT, UNTIL + MAX_BANS))
    assert len(room.blocked) == MAX_BANS
    assert "20000000" not in room.blocked
    room = reloaded(remove_user(room, BERT, UNTIL))
    assert len(room.blocked) == MAX_BANS
    assert "20000001" in room.blocked


# ---- bans by operators, and lifted bans


def test_operators_can_ban_a_guest() -> None:
    room = full_room()
    assert room.ban_user(BERT.user_id, UNTIL, "banned") is True
    assert events_of(room) == [("micro_leave", {**BERT.face(), "reason": "banned"})]
    assert (room.banned_until_left, room.active_bans(NOW)) == (
        {BERT.user_id},
        {BERT.user_id: UNTIL},
    )
    assert reloaded(room).is_banned(BERT.user_id, NOW)


def test_the_host_cannot_be_banned() -> None:
    room = full_room()
    with pytest.raises(InvalidParameter):
        room.ban_user(HOST.user_id, UNTIL, "banned")
    assert not room.changed


def test_a_user_may_enter_once_the_ban_is_lifted() -> None:
    room = reloaded(remove_user(full_room(), DORA))
    room.lift_ban(DORA.user_id)
    assert room.touched == {f"blocked.{DORA.user_id}"}
    room = reloaded(room)
    assert (room.blocked, room.enter(DORA, NOW)) == ({}, "viewer")


def test_lifting_a_missing_ban_changes_nothing() -> None:
    room = full_room()
    room.lift_ban(BERT.user_id)
    assert not room.changed


def test_expired_bans_are_not_active() -> None:
    room = reloaded(remove_user(full_room(), DORA))
    assert (room.active_bans(UNTIL - 1), room.active_bans(UNTIL)) == ({DORA.user_id: UNTIL}, {})
