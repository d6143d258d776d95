"""Opening and ending a live, entering and leaving it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from rooms.errors import NotLive
from rooms.members import Member, Person
from rooms.room import Room
from rooms.state import Seat
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
    changed,
    events_of,
    left,
    live_room,
    membership,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_everyone,
    room_with_guests,
    room_without,
)

UNTIL = NOW + 60_000


# ---- opening and ending


def test_the_host_opens_a_live_as_its_first_member() -> None:
    room = new_room()
    assert room.open(HOST, "e", "stream", NOW) is True
    assert (room.live, room.epoch, room.version, room.started_at) == (True, "e", 0, NOW)
    assert room.owner == Seat(HOST, "stream")
    assert room.role_of(HOST.user_id) == "host"
    assert room.members == {HOST.user_id: Member(HOST.user_id, 1, "e", 2, "host", NOW)}
    assert changed(room)
    assert events_of(room) == []


def test_a_new_live_has_nothing_of_the_one_before_except_bans_in_force() -> None:
    room = room_with_guests(BERT, watching=(CARL, DORA))
    room.apply(CARL, NOW)
    room.owner = replace(room.owner, away=True)
    room.bans = {DORA.user_id: UNTIL, KIM.user_id: NOW}
    room.needs_invitation_until = {CARL.user_id: UNTIL}
    room.close("host")
    assert room.bans.keys() == {DORA.user_id, KIM.user_id}
    room = reloaded(room)
    room.open(HOST, "next", "stream", NOW)
    before = (room.loaded.epoch, room.loaded.version)
    assert before == (EPOCH, 3), "the write is guarded by the version before"
    assert (room.epoch, room.version, room.status) == ("next", 0, "live")
    assert (room.male, room.female, room.applications) == (None, None, {})
    assert room.needs_invitation_until == {}
    assert room.owner == Seat(HOST, "stream")
    assert room.bans == {DORA.user_id: UNTIL}
    assert [room.role_of(person.user_id) for person in (BERT, CARL)] == [None, None]


@pytest.mark.parametrize("away", [False, True])
def test_opening_again_changes_nothing(*, away: bool) -> None:
    room = room_with_guests(BERT)
    room.owner, room.status = replace(room.owner, away=away), "paused" if away else "live"
    room = reloaded(room)
    assert room.open(HOST, "other", "other-stream", NOW + 5) is False
    assert not changed(room)
    assert (room.epoch, room.owner.stream) == (EPOCH, "stream-host")
    assert room.male is not None


def test_the_host_ends_the_live_once() -> None:
    room = room_with_everyone()
    members = [room.members[person.user_id] for person in (HOST, BERT, ANNA, CARL)]
    assert [room.role_in(member) for member in members] == ["host", "male", "viewer", "applied"]
    room.end(HOST.user_id)
    assert events_of(room) == [("live_end", {**HOST.public_profile(), "reason": "host"})]
    assert (room.live, room.male, room.female, room.applications) == (False, None, None, {})
    assert [room.role_in(member) for member in members] == [None] * 4
    room = reloaded(room)
    room.end(HOST.user_id)
    assert not changed(room)


@pytest.mark.parametrize(
    ("reason", "of_guest", "published"),
    [
        ("left", "left", "host"),
        ("offline", "offline", "offline"),
        ("banned", "banned", "banned"),
        ("operator", "left", "operator"),
    ],
)
def test_the_removal_of_the_host_ends_the_live(reason: str, of_guest: str, published: str) -> None:
    room = room_with_guests(BERT)
    room.remove(BERT.user_id, reason)
    assert events_of(room) == [("micro_leave", {**BERT.public_profile(), "reason": of_guest})]
    room = room_with_guests(BERT)
    room.remove(HOST.user_id, reason)
    assert events_of(room) == [("live_end", {**HOST.public_profile(), "reason": published})]
    assert not room.live
    assert left(room) == set()


def test_the_duration_is_in_whole_seconds_and_never_negative() -> None:
    room = live_room()
    assert room.lasted(NOW + 61_999) == 61
    assert room.lasted(NOW - 5_000) == 0


# ---- entering


def test_a_new_member_is_a_viewer_and_causes_no_event() -> None:
    room = live_room()
    room.enter(KIM, NOW + 7)
    assert room.members[KIM.user_id] == Member(KIM.user_id, 1, EPOCH, 0, "viewer", NOW + 7)
    assert changed(room)
    assert events_of(room) == []
    assert room.has(KIM.user_id, HOST.user_id)
    assert not room.has(KIM.user_id, STRANGER.user_id)


def test_entering_again_changes_nothing_and_an_ended_live_cannot_be_entered() -> None:
    room = room_with_everyone()
    for person in (HOST, BERT, CARL, ANNA, DORA):
        room.enter(person, NOW + 9)
    assert not changed(room)
    room = new_room()
    with pytest.raises(NotLive):
        room.enter(BERT, NOW)
    assert not changed(room)


@pytest.mark.parametrize(
    ("stale", "elsewhere"),
    [
        (membership(BERT, live_id=2), True),
        (membership(BERT, live_id=2, epoch="older"), True),
        (membership(BERT, epoch="older", role="male"), False),
    ],
)
def test_a_membership_of_another_room_or_earlier_live_does_not_count(
    stale: Member, *, elsewhere: bool
) -> None:
    """Entering with one of another room cannot be saved."""
    owner = live_room().owner
    members = {BERT.user_id: stale}
    room = Room(1, "g", owner, EPOCH, status="live", started_at=NOW, members=members)
    assert room.role_of(BERT.user_id) is room.role_in(stale) is None
    assert not room.has(BERT.user_id)
    assert not room.joins_from_elsewhere
    room.enter(BERT, NOW)
    assert room.members[BERT.user_id] == membership(BERT)
    assert room.loaded.members == {BERT.user_id: stale}
    assert room.joins_from_elsewhere is elsewhere


# ---- leaving

DEPARTURES: dict[str, Callable[[Room, str], object]] = {
    "left": lambda room, user_id: room.leave(user_id),
    "host": lambda room, user_id: room.ban(Person(user_id), UNTIL, HOST),
    "banned": lambda room, user_id: room.ban(Person(user_id), UNTIL),
    "offline": lambda room, user_id: room.remove(user_id, "offline"),
}


@pytest.mark.parametrize("reason", DEPARTURES)
@pytest.mark.parametrize(
    ("person", "event_type"),
    [(BERT, "micro_leave"), (CARL, "micro_refuse"), (ANNA, "micro_refuse"), (DORA, "")],
    ids=["guest", "applicant", "invited", "viewer"],
)
def test_a_user_who_departs_loses_seat_application_and_membership(
    reason: str, person: Person, event_type: str
) -> None:
    room = room_with_everyone()
    DEPARTURES[reason](room, person.user_id)
    expected = [(event_type, {**person.public_profile(), "reason": reason})] if event_type else []
    assert events_of(room) == expected
    assert left(room) == {person.user_id}
    is_banned = reason in ("host", "banned")
    assert room.bans == ({person.user_id: UNTIL} if is_banned else {})
    assert room.sockets_to_close == {person.user_id: is_banned}
    room = reloaded(room)
    assert room.seat_of(person.user_id) is None
    assert room.applications.keys() == {CARL.user_id, ANNA.user_id} - {person.user_id}
    assert room.role_of(person.user_id) is None


def test_leaving_without_a_membership_changes_nothing() -> None:
    room = room_with_applicants(BERT, CARL)
    members = {**room.members, CARL.user_id: membership(CARL, live_id=2)}
    applications = {BERT.user_id: room.applications[BERT.user_id]}
    room = replace(room, members=members, applications=applications)
    for person in (STRANGER, CARL):
        room.leave(person.user_id)
    assert not changed(room)


@pytest.mark.parametrize("role", ["viewer", "male", "host"])
def test_a_membership_of_an_earlier_live_is_removed_without_an_event(role: str) -> None:
    room = room_with_guests(BERT)
    older = membership(CARL, epoch="older", role=role)
    room = replace(room, members={**room.members, CARL.user_id: older})
    room.leave(CARL.user_id)
    assert left(room) == {CARL.user_id}
    assert events_of(room) == []


def test_the_seat_of_a_guest_without_a_membership_can_be_cleared() -> None:
    actions: list[Callable[[Room], None]] = [
        lambda room: room.leave_mic(HOST, BERT.user_id),
        lambda room: room.remove(BERT.user_id, "offline"),
    ]
    for action in actions:
        room = room_without(room_with_guests(BERT), BERT)
        action(room)
        assert room.male is None
        assert [event_type for event_type, _ in events_of(room)] == ["micro_leave"]


# ---- several changes in one batch


def test_a_member_who_leaves_and_returns_keeps_only_the_new_membership() -> None:
    room = live_room(BERT)
    room.leave(BERT.user_id)
    room.enter(BERT, NOW + 1)
    assert room.members[BERT.user_id].entered_at == NOW + 1
    assert room.sockets_to_close == {BERT.user_id: False}, "the sockets of before close"


def test_a_user_who_enters_and_leaves_leaves_nothing_to_store() -> None:
    room = live_room()
    room.enter(BERT, NOW)
    room.apply(BERT, NOW)
    room.leave(BERT.user_id)
    assert room.members == room.loaded.members
    assert room.sockets_to_close == {BERT.user_id: False}
