"""Users whom the host or an operator removes from room or mic, or invites by a message."""

from collections.abc import Callable

import pytest

from rooms.changing_room import MAX_MARKS
from rooms.errors import NotAdmitted, RemovedFromRoom
from rooms.members import Person
from rooms.room import MAX_BANS, Room
from rooms.seating_room import Admission
from tests.support.room_builders import (
    BERT,
    CARL,
    DORA,
    HOST,
    NOW,
    STRANGER,
    changed,
    events_of,
    live_room,
    membership,
    reloaded,
    room_with_everyone,
    room_with_guests,
)

UNTIL = NOW + 60_000
ADMISSIONS: tuple[Admission, ...] = ("applied", "invited", "open")


def room_after_ban(person: Person = BERT, until: int = UNTIL) -> Room:
    """A live whose host has removed the user."""
    room = room_with_everyone()
    room.ban(person, until, HOST)
    return reloaded(room)


# ---- bans


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_user_without_a_membership_here_can_be_banned(*, elsewhere: bool) -> None:
    room = live_room()
    if elsewhere:
        room.members[STRANGER.user_id] = membership(STRANGER, live_id=2)
    assert room.ban(STRANGER, UNTIL, HOST) is False
    assert events_of(room) == []
    assert room.sockets_to_close == {STRANGER.user_id: True}
    assert changed(room) == {"bans"}
    assert changed(room)


def test_a_banned_user_cannot_enter_until_the_ban_expires() -> None:
    room = room_after_ban()
    for now in (NOW, UNTIL - 1):
        assert room.is_banned(BERT.user_id, now)
        assert room.active_bans(now) == {BERT.user_id: UNTIL}
        with pytest.raises(RemovedFromRoom):
            room.enter(BERT, now)
    assert not changed(room)
    assert not room.is_banned(CARL.user_id, NOW)
    room.enter(CARL, NOW)
    assert not room.is_banned(BERT.user_id, UNTIL)
    assert room.active_bans(UNTIL) == {}
    room.enter(BERT, UNTIL)
    assert room.role_of(BERT.user_id) == "viewer"


def test_a_concurrently_written_membership_does_not_lift_a_ban() -> None:
    room = room_after_ban()
    room.members[BERT.user_id] = membership(BERT)
    with pytest.raises(RemovedFromRoom):
        room.enter(BERT, NOW)


def test_banning_again_changes_the_end_of_the_ban() -> None:
    room = room_after_ban()
    for until in (UNTIL + 5, NOW):
        room.ban(BERT, until, HOST)
        assert room.bans == {BERT.user_id: until}


def test_a_user_may_enter_after_the_ban_is_lifted() -> None:
    room = room_after_ban(DORA)
    room.lift_ban(BERT.user_id, NOW)
    assert not changed(room), "only DORA is banned"
    room.lift_ban(DORA.user_id, NOW)
    assert changed(room) == {"bans"}
    room = reloaded(room)
    room.enter(DORA, NOW)
    assert (room.bans, room.role_of(DORA.user_id)) == ({}, "viewer")


# ---- removals from the mic


def room_after_removal() -> Room:
    """A live whose host has taken BERT off the mic."""
    room = room_with_guests(BERT, watching=(CARL,))
    room.leave_mic(HOST, BERT.user_id, removed_until=UNTIL)
    assert changed(room) == {"male", "needs_invitation_until", "members"}
    return reloaded(room)


def accept(room: Room, admission: Admission = "applied") -> None:
    room.accept(BERT, admission, "again", "")


@pytest.mark.parametrize("admission", ADMISSIONS)
def test_a_removed_guest_may_apply_but_needs_an_invitation(admission: Admission) -> None:
    room = room_after_removal()
    with pytest.raises(NotAdmitted):
        accept(room, admission)
    assert not changed(room)
    room.apply(BERT, NOW)
    assert room.applicants(1) == [BERT], "the host sees the wish"
    with pytest.raises(NotAdmitted):
        accept(room, admission)
    room.invite(HOST.user_id, BERT, NOW)
    accept(room, admission)
    assert room.male
    assert room.male.person == BERT
    room = reloaded(room)
    room.leave_mic(BERT, BERT.user_id, removed_until=UNTIL)
    accept(reloaded(room), "open")


def test_a_removal_concerns_no_other_user() -> None:
    room_after_removal().accept(CARL, "open", "stream", "")


def test_only_the_host_removes_and_only_a_guest_and_with_a_time() -> None:
    room = room_with_everyone()
    room.leave_mic(HOST, CARL.user_id, removed_until=UNTIL)
    room.leave_mic(HOST, BERT.user_id)
    accept(room, "open")
    room.leave_mic(BERT, BERT.user_id, removed_until=UNTIL)
    assert room.needs_invitation_until == {}


def test_leaving_and_entering_the_room_does_not_end_a_removal() -> None:
    room = room_after_removal()
    room.leave(BERT.user_id)
    room = reloaded(room)
    room.enter(BERT, NOW)
    with pytest.raises(NotAdmitted):
        accept(reloaded(room), "open")


def test_a_ban_takes_the_place_of_the_removal() -> None:
    room = room_after_removal()
    room.ban(BERT, UNTIL, HOST)
    assert (room.needs_invitation_until, room.bans) == ({}, {BERT.user_id: UNTIL})


# ---- invitations by message


def admitted(room: Room) -> Room:
    room.note_invitation(HOST.user_id, BERT.user_id, UNTIL)
    assert room.events == []
    return reloaded(room)


@pytest.mark.parametrize("admission", ADMISSIONS)
def test_an_admitted_viewer_takes_the_seat_once_unless_the_setting_needs_an_invitation(
    admission: Admission,
) -> None:
    room = admitted(live_room(BERT))
    if admission == "invited":
        with pytest.raises(NotAdmitted):
            accept(room, admission)
        return
    accept(room, admission)
    assert room.role_of(BERT.user_id) == "male"
    assert room.invited_by_message_until == {}


def test_a_refusal_ends_it_without_an_event() -> None:
    room = admitted(live_room(BERT))
    room.refuse(BERT.user_id)
    assert (room.events, changed(room)) == ([], {"invited_by_message_until"})
    with pytest.raises(NotAdmitted):
        reloaded(room).accept(BERT, "applied", "stream", "")


def test_an_earlier_message_does_not_shorten_it() -> None:
    room = admitted(live_room(BERT))
    room.note_invitation(HOST.user_id, BERT.user_id, UNTIL - 1)
    assert not changed(room)


@pytest.mark.parametrize("admission", ["applied", "open"])
def test_a_guest_taken_off_the_mic_may_return_after_a_later_message(admission: Admission) -> None:
    room = room_with_guests(BERT)
    room.note_invitation(HOST.user_id, BERT.user_id, UNTIL)
    room.leave_mic(HOST, BERT.user_id, removed_until=UNTIL)
    room = reloaded(room)
    with pytest.raises(NotAdmitted):
        room.accept(BERT, admission, "stream", "")
    assert admitted(room).accept(BERT, admission, "stream", "").person == BERT


def test_a_ban_and_the_next_live_end_it() -> None:
    banned, next_live = admitted(live_room(BERT)), admitted(live_room(BERT))
    banned.ban(BERT, UNTIL, HOST)
    next_live.close("host")
    next_live = reloaded(next_live)
    next_live.open(HOST, "epoch-2", "stream", NOW)
    assert (banned.invited_by_message_until, next_live.invited_by_message_until) == ({}, {})


# ---- ends and limits


@pytest.mark.parametrize("field", ["needs_invitation_until", "invited_by_message_until"])
def test_it_ends_at_its_time(field: str) -> None:
    room = live_room(BERT)
    setattr(room, field, {BERT.user_id: UNTIL})
    room = reloaded(room)
    room.expire(UNTIL - 1)
    assert not changed(room)
    room.expire(UNTIL)
    assert getattr(room, field) == {}


@pytest.mark.parametrize(
    ("field", "limit", "act"),
    [
        ("bans", MAX_BANS, lambda room, until: room.ban(BERT, until, HOST)),
        (
            "needs_invitation_until",
            MAX_MARKS,
            lambda room, until: room.leave_mic(HOST, BERT.user_id, removed_until=until),
        ),
        (
            "invited_by_message_until",
            MAX_MARKS,
            lambda room, until: room.note_invitation(HOST.user_id, BERT.user_id, until),
        ),
        ("stream_bans", MAX_MARKS, lambda room, until: room.stop_stream(BERT.user_id, until)),
    ],
)
def test_the_entry_that_ends_first_makes_room_for_another(
    field: str, limit: int, act: Callable[[Room, int], object]
) -> None:
    room = room_with_guests(BERT)
    setattr(room, field, {f"{n}": UNTIL + n for n in range(limit)})
    for until in (UNTIL + limit, UNTIL):  # the second time no other entry is dropped
        act(room, until)
        assert getattr(room, field).keys() == {*(f"{n}" for n in range(1, limit)), BERT.user_id}
