"""Being back on mic after the host took the guest off it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StateConflict
from rooms.errors import NotAdmitted
from rooms.room import Admission, Room
from rooms.state import MAX_REMOVED
from tests.support.hypothesis_profiles import example_settings
from tests.support.room_builders import (
    BERT,
    CARL,
    HOST,
    NOW,
    live_room,
    reloaded,
    room_with_guests,
)

UNTIL = NOW + 60_000
ADMISSIONS: tuple[Admission, ...] = ("applied", "invited", "open")


def room_after_removal() -> Room:
    """A live whose host has taken BERT off the mic."""
    room = room_with_guests(BERT, watching=(CARL,))
    room.leave_mic(HOST.user_id, BERT.user_id, removed_until=UNTIL)
    return reloaded(room)


def accept(room: Room, admission: Admission = "applied") -> None:
    room.accept(BERT, admission, "again", "")


@pytest.mark.parametrize("admission", ADMISSIONS)
@pytest.mark.parametrize("applies", [False, True])
def test_a_removed_guest_may_apply_but_not_take_a_seat(
    admission: Admission, *, applies: bool
) -> None:
    room = room_after_removal()
    if applies:
        room.apply(BERT, NOW, 600)
        assert room.applicants(1) == [BERT], "the host sees the wish"
        room = reloaded(room)
    with pytest.raises(NotAdmitted):
        accept(room, admission)
    assert not room.changed


@pytest.mark.parametrize("admission", ADMISSIONS)
def test_a_removed_guest_is_back_with_an_invitation_and_then_free(admission: Admission) -> None:
    room = room_after_removal()
    room.invite(HOST.user_id, BERT, NOW, 60)
    accept(room, admission)
    assert room.male
    assert room.male.person == BERT
    room = reloaded(room)
    room.leave_mic(BERT.user_id, BERT.user_id, removed_until=UNTIL)
    accept(reloaded(room), "open")


def test_a_removed_guest_is_admitted_as_others_after_the_time() -> None:
    room = room_after_removal()
    room.expire(UNTIL - 1)
    assert not room.changed
    room.expire(UNTIL)
    assert (room.removed, room.touched) == ({}, {"removed"})
    accept(reloaded(room), "open")


def test_others_are_not_concerned() -> None:
    room = room_after_removal()
    room.accept(CARL, "open", "stream", "")


@pytest.mark.parametrize("by", [BERT, HOST])
def test_leaving_by_oneself_or_without_a_time_has_no_consequence(by: object) -> None:
    room = room_with_guests(BERT)
    if by is HOST:
        room.leave_mic(HOST.user_id, BERT.user_id)
    else:
        room.leave_mic(BERT.user_id, BERT.user_id, removed_until=UNTIL)
    assert room.removed == {}
    accept(reloaded(room), "open")


def test_a_declined_application_has_no_consequence() -> None:
    room = live_room(BERT)
    room.apply(BERT, NOW, 600)
    room.leave_mic(HOST.user_id, BERT.user_id, removed_until=UNTIL)
    assert room.removed == {}


def test_leaving_and_entering_the_room_does_not_help() -> None:
    room = room_after_removal()
    room.leave(BERT.user_id)
    room = reloaded(room)
    room.enter(BERT, NOW)
    with pytest.raises(NotAdmitted):
        accept(reloaded(room), "open")


def test_the_next_live_begins_without_removals() -> None:
    room = room_after_removal()
    room.close("host")
    room = reloaded(room)
    room.open(HOST, "epoch-2", "stream", NOW)
    assert room.removed == {}
    assert "removed" in room.touched


def test_a_room_remembers_a_limited_number_of_removals() -> None:
    room = room_with_guests(BERT)
    room.removed = {f"{n}": UNTIL + n for n in range(MAX_REMOVED)}
    room.leave_mic(HOST.user_id, BERT.user_id, removed_until=UNTIL + MAX_REMOVED)
    assert list(room.removed) == [*(f"{n}" for n in range(1, MAX_REMOVED)), BERT.user_id]


def test_a_ban_takes_the_place_of_the_removal() -> None:
    room = room_after_removal()
    room.remove_user(HOST.user_id, BERT.user_id, UNTIL)
    assert (room.removed, room.blocked) == ({}, {BERT.user_id: UNTIL})


ACTIONS = ("accept", "apply", "invite", "leave", "remove", "wait")


@example_settings(150)
@given(st.lists(st.sampled_from(ACTIONS), min_size=8, max_size=30), st.sampled_from(ADMISSIONS))
def test_no_sequence_brings_a_removed_guest_back_without_an_invitation(
    actions: list[str], admission: Admission
) -> None:
    room, now, until = live_room(BERT), NOW, 0
    for action in actions:
        room = reloaded(room)
        now += 25_000 if action == "wait" else 0
        room.expire(now)
        invited = BERT.user_id in room.applications and room.applications[BERT.user_id].invited
        was_seated = room.male is not None
        with contextlib.suppress(StateConflict):
            act(room, action, admission, now)
        if action == "remove" and was_seated:
            until = now + 60_000
        if room.male and not was_seated:
            assert invited or now >= until
            until = 0
        assert room.removed == ({BERT.user_id: until} if until > now else {})


def act(room: Room, action: str, admission: Admission, now: int) -> None:
    match action:
        case "accept":
            accept(room, admission)
        case "apply":
            room.apply(BERT, now, 600)
        case "invite":
            room.invite(HOST.user_id, BERT, now, 60)
        case "leave":
            room.leave_mic(BERT.user_id, BERT.user_id, removed_until=now + 60_000)
        case "remove":
            room.leave_mic(HOST.user_id, BERT.user_id, removed_until=now + 60_000)
