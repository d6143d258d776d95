"""A live begins, people come and go, and it ends."""

from dataclasses import replace

import pytest

from rooms.people import Member
from rooms.refusals import HostMustEnd, NotHost, NotLive
from rooms.room import Room, Seat
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    DORA,
    EPOCH,
    HOST,
    KIM,
    NOW,
    STRANGER,
    after,
    applied,
    live_room,
    new_room,
    place,
    said,
    seated,
)


def test_a_new_room_is_not_live_and_nobody_is_in_it() -> None:
    room = new_room()
    assert not room.live
    assert room.role_of(HOST.user_id) is None
    assert not room.changed
    assert (room.host_id, room.name, room.image) == (HOST.user_id, "hong", HOST.face_url)


def test_the_cover_is_the_image_of_a_room_that_has_one() -> None:
    assert new_room(cover="https://cover").image == "https://cover"


def test_the_host_opens_a_live_and_is_in_it() -> None:
    room = new_room()
    assert room.open(HOST, "e", "stream", NOW) is True
    assert (room.live, room.epoch, room.version, room.started_at) == (True, "e", 0, NOW)
    assert room.owner == Seat(HOST, "stream")
    assert room.role_of(HOST.user_id) == "host"
    assert room.joined == {HOST.user_id: Member(HOST.user_id, 1, "e", 2, "host", NOW)}
    assert room.changed
    assert said(room) == []


def test_opening_guards_the_write_with_what_was_loaded() -> None:
    room = applied(BERT)
    room.close("host")
    room = after(room)
    room.open(HOST, "next", "stream", NOW)
    assert room.loaded == (EPOCH, 2)
    assert (room.epoch, room.version) == ("next", 0)


def test_a_new_live_begins_with_empty_seats_and_nobody_from_the_last_one() -> None:
    room = seated(BERT, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room.close("host")
    room = after(room)
    room.open(HOST, "next", "stream", NOW)
    assert (room.male, room.female, room.applications) == (None, None, {})
    assert room.role_of(BERT.user_id) is None
    assert room.role_of(CARL.user_id) is None


def test_opening_again_resumes_the_live_and_changes_nothing() -> None:
    room = seated(BERT)
    assert room.open(HOST, "other", "other-stream", NOW + 5) is False
    assert not room.changed
    assert (room.epoch, room.owner.stream) == (EPOCH, "stream-host")
    assert room.male is not None


def test_the_host_ends_the_live() -> None:
    room = seated(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room = after(room)
    assert room.end(HOST.user_id) is True
    assert said(room) == [("live_end", {**HOST.face(), "reason": "host"})]
    assert (room.live, room.male, room.female, room.applications) == (False, None, None, {})
    assert [room.role_of(p.user_id) for p in (HOST, BERT, ANNA, CARL)] == [None] * 4


def test_ending_again_is_harmless() -> None:
    room = live_room()
    room.end(HOST.user_id)
    room = after(room)
    assert room.end(HOST.user_id) is False
    assert not room.changed


@pytest.mark.parametrize("person", [BERT, ANNA, STRANGER])
def test_nobody_else_ends_it(person) -> None:
    room = seated(BERT, watching=(ANNA,))
    with pytest.raises(NotHost):
        room.end(person.user_id)
    assert room.live
    assert not room.changed


def test_a_stranger_is_refused_even_when_it_has_ended_already() -> None:
    with pytest.raises(NotHost):
        new_room().end(BERT.user_id)


@pytest.mark.parametrize("reason", ["operator", "offline", "banned"])
def test_closing_says_why(reason: str) -> None:
    room = live_room()
    assert room.close(reason) is True
    assert said(room) == [("live_end", {**HOST.face(), "reason": reason})]
    assert after(room).close(reason) is False


def test_a_live_lasts_whole_seconds_and_never_less_than_none() -> None:
    room = live_room()
    assert room.lasted(NOW + 61_999) == 61
    assert room.lasted(NOW - 5_000) == 0


def test_whoever_enters_becomes_a_viewer_and_nobody_is_told() -> None:
    room = live_room()
    assert room.enter(KIM, NOW + 7) == "viewer"
    assert room.joined == {KIM.user_id: Member(KIM.user_id, 1, EPOCH, 0, "viewer", NOW + 7)}
    assert room.changed
    assert said(room) == []


def test_whoever_comes_back_keeps_the_role() -> None:
    room = seated(BERT, ANNA, watching=(CARL, DORA))
    room.apply(CARL, NOW, 600)
    room = after(room)
    roles = [room.enter(person, NOW + 9) for person in (HOST, BERT, ANNA, CARL, DORA)]
    assert roles == ["host", "male", "female", "applied", "viewer"]
    assert not room.changed


def test_nobody_enters_a_room_that_is_not_live() -> None:
    room = new_room()
    with pytest.raises(NotLive):
        room.enter(BERT, NOW)
    assert not room.changed


@pytest.mark.parametrize("old", [place(BERT, live_id=2), place(BERT, epoch="older", role="male")])
def test_a_place_in_another_room_or_an_older_life_is_no_place(old: Member) -> None:
    room = live_room()
    room = Room(1, "g", room.owner, EPOCH, 0, "live", NOW, members={BERT.user_id: old})
    assert room.role_of(BERT.user_id) is None
    assert room.enter(BERT, NOW) == "viewer"
    assert room.joined[BERT.user_id] == place(BERT)
    assert room.seen == {BERT.user_id: old}


def test_a_viewer_leaves_without_a_word() -> None:
    room = live_room(BERT)
    room.leave(BERT.user_id)
    assert room.gone == {BERT.user_id}
    assert room.changed
    assert said(room) == []


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_a_guest_who_leaves_gives_up_the_seat(guest, seat: str) -> None:
    room = seated(BERT, ANNA)
    room.leave(guest.user_id)
    assert getattr(room, seat) is None
    assert room.gone == {guest.user_id}
    assert room.roles == {}
    assert said(room) == [("micro_leave", {**guest.face(), "reason": "left"})]


def test_an_applicant_who_leaves_is_out_of_the_queue() -> None:
    room = applied(BERT, CARL)
    room.leave(BERT.user_id)
    assert list(room.applications) == [CARL.user_id]
    assert room.gone == {BERT.user_id}
    assert room.roles == {}
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "left"})]


def test_an_invited_viewer_who_leaves_takes_the_invitation_along() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = after(room)
    room.leave(BERT.user_id)
    assert room.applications == {}
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "left"})]


def test_leaving_without_being_there_is_no_mistake() -> None:
    room = live_room(BERT)
    room.leave(STRANGER.user_id)
    assert not room.changed
    room.leave(BERT.user_id)
    room = after(room)
    room.leave(BERT.user_id)
    assert not room.changed


def test_leaving_this_room_does_not_touch_a_place_in_another() -> None:
    room = Room(1, "g", Seat(HOST, "s"), EPOCH, 0, "live", NOW)
    room.members[BERT.user_id] = place(BERT, live_id=2)
    room.leave(BERT.user_id)
    assert not room.changed


@pytest.mark.parametrize("role", ["viewer", "male", "host"])
def test_a_place_left_over_from_an_older_life_is_removed_silently(role) -> None:
    room = seated(BERT)
    room.members[CARL.user_id] = place(CARL, epoch="older", role=role)
    room.leave(CARL.user_id)
    assert room.gone == {CARL.user_id}
    assert said(room) == []


def test_the_host_cannot_leave() -> None:
    room = live_room()
    with pytest.raises(HostMustEnd):
        room.leave(HOST.user_id)
    assert room.live
    assert not room.changed


@pytest.mark.parametrize(
    ("reason", "heard"), [("left", "host"), ("offline", "offline"), ("banned", "banned")]
)
def test_the_departure_of_the_host_ends_the_live(reason: str, heard: str) -> None:
    room = seated(BERT)
    room.depart(HOST.user_id, reason)
    assert said(room) == [("live_end", {**HOST.face(), "reason": heard})]
    assert not room.live
    assert room.gone == set()


def test_a_guest_departs_for_the_reason_given() -> None:
    room = seated(BERT)
    room.depart(BERT.user_id, "offline")
    assert said(room) == [("micro_leave", {**BERT.face(), "reason": "offline"})]


def test_whoever_left_is_nobody_until_they_enter_again() -> None:
    room = seated(BERT)
    room.leave(BERT.user_id)
    room = after(room)
    assert room.role_of(BERT.user_id) is None
    assert room.enter(BERT, NOW) == "viewer"


def test_joining_with_a_place_in_another_room_would_split_a_person() -> None:
    for live_id, split in ((1, False), (2, True)):
        old = place(BERT, live_id=live_id, epoch="older")
        room = Room(1, "g", Seat(HOST, "s"), EPOCH, 0, "live", NOW, members={BERT.user_id: old})
        assert not room.split
        room.enter(BERT, NOW)
        assert room.split is split
    assert not live_room(BERT).split


# ---- seen from a place


def test_what_somebody_is_follows_from_their_place_in_this_life_of_this_room() -> None:
    room = seated(BERT, watching=(ANNA,))
    bert = room.members[BERT.user_id]
    assert (room.role_in(bert), room.role_in(room.members[ANNA.user_id])) == ("male", "viewer")
    assert room.role_in(replace(bert, epoch="an earlier one")) is None
    assert room.role_in(replace(bert, live_id=2)) is None


def test_nobody_is_anything_in_a_room_that_is_not_live() -> None:
    room = seated(BERT)
    bert = room.members[BERT.user_id]
    room.close("host")
    assert room.role_in(bert) is None
