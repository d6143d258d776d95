"""Opening and ending a live, entering and leaving it."""

from dataclasses import replace

import pytest

from rooms.errors import HostMustEnd, NotHost, NotLive
from rooms.members import Member
from rooms.room import Room, Seat
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    EPOCH,
    HOST,
    KIM,
    NOW,
    STRANGER,
    events_of,
    live_room,
    membership,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_guests,
)


def test_a_new_room_is_not_live_and_has_no_members() -> None:
    room = new_room()
    assert not room.live
    assert room.role_of(HOST.user_id) is None
    assert not room.changed
    assert (room.host_id, room.name, room.image) == (HOST.user_id, "hong", HOST.face_url)


def test_the_cover_is_the_image_of_the_room() -> None:
    assert new_room(cover="https://cover").image == "https://cover"


def test_the_host_opens_a_live_as_its_first_member() -> None:
    room = new_room()
    assert room.open(HOST, "e", "stream", NOW) is True
    assert (room.live, room.epoch, room.version, room.started_at) == (True, "e", 0, NOW)
    assert room.owner == Seat(HOST, "stream")
    assert room.role_of(HOST.user_id) == "host"
    assert room.joined == {HOST.user_id: Member(HOST.user_id, 1, "e", 2, "host", NOW)}
    assert room.changed
    assert events_of(room) == []


def test_opening_guards_the_write_with_the_loaded_version() -> None:
    room = room_with_applicants(BERT)
    room.close("host")
    room = reloaded(room)
    room.open(HOST, "next", "stream", NOW)
    assert room.loaded == (EPOCH, 2)
    assert (room.epoch, room.version) == ("next", 0)


def test_a_new_live_has_empty_seats_and_no_former_members() -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room.close("host")
    room = reloaded(room)
    room.open(HOST, "next", "stream", NOW)
    assert (room.male, room.female, room.applications) == (None, None, {})
    assert room.role_of(BERT.user_id) is None
    assert room.role_of(CARL.user_id) is None


def test_opening_again_resumes_the_live_and_changes_nothing() -> None:
    room = room_with_guests(BERT)
    assert room.open(HOST, "other", "other-stream", NOW + 5) is False
    assert not room.changed
    assert (room.epoch, room.owner.stream) == (EPOCH, "stream-host")
    assert room.male is not None


def test_the_host_ends_the_live() -> None:
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room = reloaded(room)
    assert room.end(HOST.user_id) is True
    assert events_of(room) == [("live_end", {**HOST.face(), "reason": "host"})]
    assert (room.live, room.male, room.female, room.applications) == (False, None, None, {})
    assert [room.role_of(p.user_id) for p in (HOST, BERT, ANNA, CARL)] == [None] * 4


def test_ending_twice_changes_nothing() -> None:
    room = live_room()
    room.end(HOST.user_id)
    room = reloaded(room)
    assert room.end(HOST.user_id) is False
    assert not room.changed


@pytest.mark.parametrize("person", [BERT, ANNA, STRANGER])
def test_only_the_host_ends_the_live(person) -> None:
    room = room_with_guests(BERT, watching=(ANNA,))
    with pytest.raises(NotHost):
        room.end(person.user_id)
    assert room.live
    assert not room.changed


def test_a_stranger_cannot_end_an_ended_live() -> None:
    with pytest.raises(NotHost):
        new_room().end(BERT.user_id)


@pytest.mark.parametrize("reason", ["operator", "offline", "banned"])
def test_closing_publishes_the_reason(reason: str) -> None:
    room = live_room()
    assert room.close(reason) is True
    assert events_of(room) == [("live_end", {**HOST.face(), "reason": reason})]
    assert reloaded(room).close(reason) is False


def test_the_duration_is_in_whole_seconds_and_never_negative() -> None:
    room = live_room()
    assert room.lasted(NOW + 61_999) == 61
    assert room.lasted(NOW - 5_000) == 0


def test_a_new_member_is_a_viewer_and_causes_no_event() -> None:
    room = live_room()
    assert room.enter(KIM, NOW + 7) == "viewer"
    assert room.joined == {KIM.user_id: Member(KIM.user_id, 1, EPOCH, 0, "viewer", NOW + 7)}
    assert room.changed
    assert events_of(room) == []


def test_a_member_who_enters_again_keeps_the_role() -> None:
    room = room_with_guests(BERT, ANNA, watching=(CARL, DORA))
    room.apply(CARL, NOW, 600)
    room = reloaded(room)
    roles = [room.enter(person, NOW + 9) for person in (HOST, BERT, ANNA, CARL, DORA)]
    assert roles == ["host", "male", "female", "applied", "viewer"]
    assert not room.changed


def test_an_ended_live_cannot_be_entered() -> None:
    room = new_room()
    with pytest.raises(NotLive):
        room.enter(BERT, NOW)
    assert not room.changed


@pytest.mark.parametrize(
    "stale", [membership(BERT, live_id=2), membership(BERT, epoch="older", role="male")]
)
def test_a_membership_of_another_room_or_earlier_live_does_not_count(stale: Member) -> None:
    room = live_room()
    room = Room(1, "g", room.owner, EPOCH, 0, "live", NOW, members={BERT.user_id: stale})
    assert room.role_of(BERT.user_id) is None
    assert room.enter(BERT, NOW) == "viewer"
    assert room.joined[BERT.user_id] == membership(BERT)
    assert room.seen == {BERT.user_id: stale}


def test_a_viewer_leaves_without_an_event() -> None:
    room = live_room(BERT)
    room.leave(BERT.user_id)
    assert room.gone == {BERT.user_id}
    assert room.changed
    assert events_of(room) == []


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_a_guest_who_leaves_frees_the_seat(guest, seat: str) -> None:
    room = room_with_guests(BERT, ANNA)
    room.leave(guest.user_id)
    assert getattr(room, seat) is None
    assert room.gone == {guest.user_id}
    assert room.roles == {}
    assert events_of(room) == [("micro_leave", {**guest.face(), "reason": "left"})]


def test_an_applicant_who_leaves_is_removed_from_the_queue() -> None:
    room = room_with_applicants(BERT, CARL)
    room.leave(BERT.user_id)
    assert list(room.applications) == [CARL.user_id]
    assert room.gone == {BERT.user_id}
    assert room.roles == {}
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "left"})]


def test_the_invitation_of_a_viewer_ends_when_they_leave() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = reloaded(room)
    room.leave(BERT.user_id)
    assert room.applications == {}
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "left"})]


def test_leaving_without_membership_changes_nothing() -> None:
    room = live_room(BERT)
    room.leave(STRANGER.user_id)
    assert not room.changed
    room.leave(BERT.user_id)
    room = reloaded(room)
    room.leave(BERT.user_id)
    assert not room.changed


def test_leaving_a_room_keeps_a_membership_of_another() -> None:
    room = Room(1, "g", Seat(HOST, "s"), EPOCH, 0, "live", NOW)
    room.members[BERT.user_id] = membership(BERT, live_id=2)
    room.leave(BERT.user_id)
    assert not room.changed


@pytest.mark.parametrize("role", ["viewer", "male", "host"])
def test_a_membership_of_an_earlier_live_is_removed_without_an_event(role) -> None:
    room = room_with_guests(BERT)
    room.members[CARL.user_id] = membership(CARL, epoch="older", role=role)
    room.leave(CARL.user_id)
    assert room.gone == {CARL.user_id}
    assert events_of(room) == []


def test_the_host_cannot_leave() -> None:
    room = live_room()
    with pytest.raises(HostMustEnd):
        room.leave(HOST.user_id)
    assert room.live
    assert not room.changed


@pytest.mark.parametrize(
    ("reason", "end_reason"), [("left", "host"), ("offline", "offline"), ("banned", "banned")]
)
def test_removing_the_host_ends_the_live(reason: str, end_reason: str) -> None:
    room = room_with_guests(BERT)
    room.remove_member(HOST.user_id, reason)
    assert events_of(room) == [("live_end", {**HOST.face(), "reason": end_reason})]
    assert not room.live
    assert room.gone == set()


def test_removing_a_guest_publishes_the_reason() -> None:
    room = room_with_guests(BERT)
    room.remove_member(BERT.user_id, "offline")
    assert events_of(room) == [("micro_leave", {**BERT.face(), "reason": "offline"})]


def test_a_user_who_left_has_no_role_until_reentry() -> None:
    room = room_with_guests(BERT)
    room.leave(BERT.user_id)
    room = reloaded(room)
    assert room.role_of(BERT.user_id) is None
    assert room.enter(BERT, NOW) == "viewer"


def test_joining_with_a_membership_of_another_room_is_a_split() -> None:
    for live_id, split in ((1, False), (2, True)):
        stale = membership(BERT, live_id=live_id, epoch="older")
        room = Room(1, "g", Seat(HOST, "s"), EPOCH, 0, "live", NOW, members={BERT.user_id: stale})
        assert not room.split
        room.enter(BERT, NOW)
        assert room.split is split
    assert not live_room(BERT).split


# ---- role in a membership


def test_a_role_requires_a_membership_of_this_live_of_this_room() -> None:
    room = room_with_guests(BERT, watching=(ANNA,))
    bert = room.members[BERT.user_id]
    assert (room.role_in(bert), room.role_in(room.members[ANNA.user_id])) == ("male", "viewer")
    assert room.role_in(replace(bert, epoch="an earlier one")) is None
    assert room.role_in(replace(bert, live_id=2)) is None


def test_members_have_no_role_in_an_ended_live() -> None:
    room = room_with_guests(BERT)
    bert = room.members[BERT.user_id]
    room.close("host")
    assert room.role_in(bert) is None
