"""A message of the host over IM, which may be an invitation, admits a member without an event."""

import pytest

from core.errors import QLiveError
from rooms.errors import NotAdmitted, NotHost, NotInRoom, NotLive
from rooms.members import Person
from rooms.room import MAX_MARKS, Admission, Room
from tests.support.room_builders import (
    ANNA,
    BERT,
    HOST,
    NOW,
    STRANGER,
    changed,
    live_room,
    new_room,
    reloaded,
    room_with_guests,
)

UNTIL = NOW + 60_000


def admitted(room: Room) -> Room:
    room.note_invitation(HOST.user_id, BERT.user_id, UNTIL)
    assert room.events == []
    return reloaded(room)


def test_an_admitted_viewer_takes_the_seat_once() -> None:
    room = admitted(live_room(BERT))
    seat = room.accept(BERT, "applied", "stream", "")
    assert room.male == seat
    assert room.invited_by_message_until == {}


def test_it_is_not_the_invitation_that_the_setting_invited_requires() -> None:
    with pytest.raises(NotAdmitted):
        admitted(live_room(BERT)).accept(BERT, "invited", "stream", "")


def test_it_ends_at_its_time() -> None:
    room = admitted(live_room(BERT))
    room.expire(UNTIL - 1)
    assert room.invited_by_message_until
    room.expire(UNTIL)
    with pytest.raises(NotAdmitted):
        room.accept(BERT, "applied", "stream", "")


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
    room.leave_mic(HOST.user_id, BERT.user_id, removed_until=UNTIL)
    room = reloaded(room)
    with pytest.raises(NotAdmitted):
        room.accept(BERT, admission, "stream", "")
    assert admitted(room).accept(BERT, admission, "stream", "").person == BERT


@pytest.mark.parametrize(
    ("room", "sender", "receiver", "error"),
    [
        (live_room(BERT, ANNA), ANNA, BERT, NotHost),
        (new_room(), HOST, BERT, NotLive),
        (live_room(BERT), HOST, STRANGER, NotInRoom),
    ],
    ids=["another member", "not live", "no member"],
)
def test_other_messages_admit_nobody(
    room: Room, sender: Person, receiver: Person, error: type[QLiveError]
) -> None:
    with pytest.raises(error):
        room.note_invitation(sender.user_id, receiver.user_id, UNTIL)
    assert not changed(room)


def test_a_room_remembers_a_limited_number_of_messages() -> None:
    room = live_room(BERT)
    room.invited_by_message_until = {f"{n}": UNTIL + n for n in range(MAX_MARKS)}
    room.note_invitation(HOST.user_id, BERT.user_id, UNTIL + MAX_MARKS)
    assert list(room.invited_by_message_until) == [
        *(f"{n}" for n in range(1, MAX_MARKS)),
        BERT.user_id,
    ]


def test_a_ban_and_the_next_live_end_it() -> None:
    banned, next_live = admitted(live_room(BERT)), admitted(live_room(BERT))
    banned.ban(BERT.user_id, UNTIL, HOST.user_id)
    next_live.close("host")
    next_live = reloaded(next_live)
    next_live.open(HOST, "epoch-2", "stream", NOW)
    assert (banned.invited_by_message_until, next_live.invited_by_message_until) == ({}, {})
