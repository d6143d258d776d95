"""Lost connections: absence is shown, then costs the seat, the membership or the live."""

from dataclasses import replace

import pytest

from rooms.members import GracePolicy, Person
from rooms.room import Room
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    GRACE,
    HOST,
    NOW,
    STRANGER,
    events_of,
    live_room,
    membership,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_away,
    room_with_guests,
)

ON_MIC = [(HOST, "host", 120), (BERT, "male", 45), (ANNA, "female", 45)]


def apply_absence(
    room: Room,
    person: Person,
    seconds: float,
    *,
    since: float = 0,
    streams: bool = False,
    grace_policy: GracePolicy = GRACE,
) -> float | None:
    """Apply the absence `seconds` after NOW; returns the next check, also in seconds after NOW."""
    now, begin = NOW + int(seconds * 1000), NOW + int(since * 1000)
    next_check = room.apply_absence(person.user_id, now, grace_policy, since=begin, streams=streams)
    return None if next_check is None else (next_check - NOW) / 1000


def shown_away(room: Room, *people: Person) -> Room:
    """The room with the absence of `people` since NOW already shown."""
    for person in people:
        room = room_with_away(room, person)
        apply_absence(room, person, 3)
        room = reloaded(room)
    return room


# ---- showing an absence


@pytest.mark.parametrize("person", [HOST, BERT, CARL, STRANGER])
def test_a_connected_user_has_no_absence(person: Person) -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    assert apply_absence(room, person, 10**6) is None
    assert not room.changed


@pytest.mark.parametrize(
    "stale", [membership(BERT, live_id=2), membership(BERT, epoch="older", role="male")]
)
def test_an_absence_from_another_room_or_an_earlier_live_is_ignored(stale) -> None:
    room = live_room()
    room.members[BERT.user_id] = replace(stale, away_at=NOW)
    assert apply_absence(room, BERT, 10**6) is None
    assert not room.changed


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_an_absence_is_not_shown_before_its_delay(person: Person, role: str, grace: float) -> None:
    room = room_with_away(room_with_guests(BERT, ANNA), person)
    assert apply_absence(room, person, 2.999) == 3
    assert not room.changed
    assert not room.guarded


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_the_absence_of_a_guest_is_shown_after_its_delay(guest, seat: str, grace: float) -> None:
    room = room_with_away(room_with_guests(BERT, ANNA), guest)
    assert apply_absence(room, guest, 3) == grace
    assert events_of(room) == [("member_away", {**guest.face(), "role": seat})]
    assert getattr(room, seat).away
    assert room.touched == {seat}
    assert room.status == "live"
    assert (room.roles, room.gone, room.dropped) == ({}, set(), set())


def test_the_absence_of_the_host_pauses_the_live() -> None:
    room = room_with_away(room_with_guests(BERT), HOST)
    assert apply_absence(room, HOST, 3) == 120
    assert events_of(room) == [
        ("member_away", {**HOST.face(), "role": "host"}),
        ("live_pause", {**HOST.face()}),
    ]
    assert (room.status, room.owner.away, room.live) == ("paused", True, True)
    assert room.touched == {"owner", "status"}
    assert room.male is not None


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_showing_an_absence_guards_the_membership(person: Person, role: str, grace: float) -> None:
    """A concurrent reconnect then causes a write conflict, and the rule runs again."""
    room = room_with_away(room_with_guests(BERT, ANNA), person)
    apply_absence(room, person, 3)
    assert room.guarded == {person.user_id}
    assert person.user_id in room.seen


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_an_absence_is_shown_once(person: Person, role: str, grace: float) -> None:
    room = shown_away(room_with_guests(BERT, ANNA), person)
    for seconds in (3, 20, grace - 0.001):
        assert apply_absence(room, person, seconds) == grace
        assert not room.changed


@pytest.mark.parametrize("person", [CARL, ANNA])
def test_the_absence_of_a_viewer_or_applicant_is_never_shown(person: Person) -> None:
    room = reloaded(live_room(CARL, ANNA))
    room.apply(ANNA, NOW, 600)
    room = room_with_away(reloaded(room), person)
    assert apply_absence(room, person, 59.999) == 60
    assert not room.changed


def test_a_profile_change_does_not_end_an_absence() -> None:
    room = shown_away(room_with_guests(BERT), BERT, HOST)
    for person in (BERT, HOST):
        room.update_profile(replace(person, nickname="new"))
    assert room.male
    assert (room.male.away, room.owner.away, room.status) == (True, True, "paused")


# ---- reconnecting


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_a_returning_guest_is_shown_as_back(guest: Person, seat: str, grace: float) -> None:
    room = shown_away(room_with_guests(BERT, ANNA), guest)
    room.mark_connected(guest.user_id)
    assert events_of(room) == [("member_back", {**guest.face(), "role": seat})]
    assert not getattr(room, seat).away
    assert room.touched == {seat}
    assert getattr(room, seat).stream == f"stream-{guest.nickname}"


def test_a_returning_host_resumes_the_live() -> None:
    room = shown_away(room_with_guests(BERT), HOST)
    room.mark_connected(HOST.user_id)
    assert events_of(room) == [
        ("member_back", {**HOST.face(), "role": "host"}),
        ("live_resume", {**HOST.face()}),
    ]
    assert (room.status, room.owner.away) == ("live", False)
    assert room.touched == {"owner", "status"}


@pytest.mark.parametrize("person", [HOST, BERT, CARL, STRANGER])
def test_a_return_is_not_shown_if_the_absence_was_not(person: Person) -> None:
    room = room_with_away(room_with_guests(BERT, watching=(CARL,)), person)
    room.mark_connected(person.user_id)
    assert not room.changed


def test_a_return_after_the_end_of_the_live_changes_nothing() -> None:
    room = shown_away(room_with_guests(BERT), HOST, BERT)
    room.close("operator")
    room = reloaded(room)
    for person in (HOST, BERT):
        room.mark_connected(person.user_id)
    assert not room.changed


def test_a_second_absence_has_the_full_grace_period() -> None:
    room = shown_away(room_with_guests(BERT), BERT)
    room.mark_connected(BERT.user_id)
    room = room_with_away(reloaded(room), BERT, NOW + 44_000)
    assert apply_absence(room, BERT, 45) == 47
    assert not room.changed
    assert apply_absence(room, BERT, 47) == 89


def test_a_paused_live_continues_for_the_other_users() -> None:
    room = shown_away(live_room(BERT, ANNA), HOST)
    room.apply(BERT, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    room.accept(BERT, "applied", "s", "u")
    assert room.enter(STRANGER, NOW) == "viewer"
    assert [event_type for event_type, _ in events_of(room)] == [
        "micro_apply",
        "micro_invite",
        "micro_accept",
    ]
    assert room.status == "paused"


def test_a_host_who_opens_a_paused_live_resumes_it() -> None:
    room = shown_away(room_with_guests(BERT), HOST)
    assert room.open(HOST, "other", "other-stream", NOW) is False
    assert not room.changed
    assert room.owner.stream == "stream-host"


def test_a_new_live_is_not_paused() -> None:
    room = shown_away(live_room(), HOST)
    room.close("offline")
    room = reloaded(room)
    room.open(HOST, "next", "stream", NOW)
    assert (room.status, room.owner.away) == ("live", False)


# ---- end of the grace period


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_an_absent_guest_loses_the_seat_and_later_the_membership(
    guest, seat: str, grace: float
) -> None:
    room = shown_away(room_with_guests(BERT, ANNA), guest)
    assert apply_absence(room, guest, 45) == 60
    assert events_of(room) == [("micro_leave", {**guest.face(), "reason": "offline"})]
    assert getattr(room, seat) is None
    assert room.roles == {guest.user_id: "viewer"}
    assert (room.gone, room.dropped) == (set(), {f"stream-{guest.nickname}"})
    room = reloaded(room)
    assert apply_absence(room, guest, 59.999) == 60
    assert not room.changed
    assert apply_absence(room, guest, 60) is None
    assert (room.gone, events_of(room)) == ({guest.user_id}, [])


def test_a_late_check_shows_an_absence_and_ends_seat_and_membership() -> None:
    room = room_with_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 60) is None
    assert [event_type for event_type, _ in events_of(room)] == ["member_away", "micro_leave"]
    assert room.male is None
    assert (room.gone, room.roles, room.dropped) == ({BERT.user_id}, {}, {"stream-bert"})


def test_a_guest_who_lost_the_seat_returns_as_a_viewer() -> None:
    room = shown_away(room_with_guests(BERT), BERT)
    apply_absence(room, BERT, 45)
    room = reloaded(room)
    room.mark_connected(BERT.user_id)
    assert not room.changed
    assert room.enter(BERT, NOW) == "viewer"


def test_an_absent_viewer_leaves_without_an_event() -> None:
    room = room_with_away(live_room(CARL), CARL)
    assert apply_absence(room, CARL, 60) is None
    assert (room.gone, events_of(room)) == ({CARL.user_id}, [])


def test_an_absent_applicant_leaves_the_queue() -> None:
    room = room_with_away(room_with_applicants(BERT, CARL), BERT)
    assert apply_absence(room, BERT, 60) is None
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "offline"})]
    assert list(room.applications) == [CARL.user_id]
    assert (room.gone, room.roles) == ({BERT.user_id}, {})


def test_the_invitation_of_an_absent_viewer_ends_with_the_membership() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 600)
    room = room_with_away(reloaded(room), BERT)
    apply_absence(room, BERT, 60)
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "offline"})]


def test_the_absence_of_the_host_ends_the_live() -> None:
    room = shown_away(room_with_guests(BERT, ANNA), HOST)
    assert apply_absence(room, HOST, 119.999) == 120
    assert not room.changed
    assert apply_absence(room, HOST, 120) is None
    assert events_of(room) == [("live_end", {**HOST.face(), "reason": "offline"})]
    assert not room.live
    assert room.dropped == {"stream-host", "stream-bert", "stream-anna"}


# ---- length of the grace period


@pytest.mark.parametrize(
    ("person", "ends"), [(CARL, 90), (HOST, 150), (BERT, 75)], ids=["viewer", "host", "guest"]
)
def test_the_grace_period_starts_when_clients_can_reconnect(person: Person, ends: float) -> None:
    room = shown_away(room_with_guests(BERT, watching=(CARL,)), HOST, BERT)
    room = room_with_away(room, CARL)
    assert apply_absence(room, person, ends - 0.001, since=30) == ends
    assert not room.changed
    apply_absence(room, person, ends, since=30)
    assert room.changed


def test_the_grace_period_for_the_membership_starts_then_too() -> None:
    room = shown_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 75, since=30) == 90


def test_an_absence_is_shown_even_while_clients_cannot_reconnect() -> None:
    room = room_with_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 3, since=30) == 75
    assert [event_type for event_type, _ in events_of(room)] == ["member_away"]


def test_a_grace_period_start_before_the_absence_has_no_effect() -> None:
    room = room_with_away(live_room(CARL), CARL)
    assert apply_absence(room, CARL, 59, since=-600) == 60


def test_a_guest_whose_stream_is_live_has_twice_the_grace_period() -> None:
    room = room_with_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 3, streams=True) == 90
    room = reloaded(room)
    assert apply_absence(room, BERT, 89.999, streams=True) == 90
    assert not room.changed
    assert apply_absence(room, BERT, 90, streams=True) is None
    assert [event_type for event_type, _ in events_of(room)] == ["micro_leave"]
    assert room.gone == {BERT.user_id}


def test_the_end_of_the_stream_ends_the_doubled_grace_period() -> None:
    room = shown_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 50, streams=True) == 90
    assert apply_absence(room, BERT, 50) == 60
    assert [event_type for event_type, _ in events_of(room)] == ["micro_leave"]


def test_a_live_stream_does_not_extend_the_grace_period_of_host_or_viewer() -> None:
    room = room_with_away(shown_away(live_room(CARL), HOST), CARL)
    assert apply_absence(room, CARL, 60, streams=True) is None
    assert room.gone == {CARL.user_id}
    assert apply_absence(room, HOST, 120, streams=True) is None
    assert not room.live


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_a_display_delay_beyond_the_grace_period_is_cut_to_it(
    person: Person, role: str, grace: float
) -> None:
    policy = replace(GRACE, shown=500_000)
    room = room_with_away(room_with_guests(BERT, ANNA), person)
    assert apply_absence(room, person, grace - 0.001, grace_policy=policy) == grace
    assert not room.changed
    apply_absence(room, person, grace, grace_policy=policy)
    event_types = [event_type for event_type, _ in events_of(room)]
    assert event_types[0] == "member_away"
    assert event_types[-1] == ("live_end" if person is HOST else "micro_leave")


def test_a_viewer_period_below_the_guest_period_ends_seat_and_membership() -> None:
    room = shown_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 45, grace_policy=replace(GRACE, viewer=10_000)) is None
    assert [event_type for event_type, _ in events_of(room)] == ["micro_leave"]
    assert room.gone == {BERT.user_id}


def test_an_ended_live_has_no_absences() -> None:
    room = room_with_away(room_with_guests(BERT), BERT)
    room.close("host")
    room = reloaded(room)
    assert apply_absence(room, BERT, 10**6) is None
    assert not room.changed
    assert apply_absence(new_room(), HOST, 10**6) is None


@pytest.mark.parametrize("person", [HOST, BERT])
def test_a_connected_user_still_shown_as_away_is_shown_as_back(person: Person) -> None:
    """The user reconnected, but the write that should have shown it failed."""
    room = replace(
        shown_away(room_with_guests(BERT), person), members=room_with_guests(BERT).members
    )
    assert apply_absence(room, person, 10) is None
    event_types = ["member_back", "live_resume"] if person is HOST else ["member_back"]
    assert [event_type for event_type, _ in events_of(room)] == event_types
    assert (room.gone, room.roles, room.status) == (set(), {}, "live")


def test_the_return_of_a_guest_leaves_the_other_one_away() -> None:
    room = shown_away(room_with_guests(BERT, ANNA), BERT, ANNA)
    room.mark_connected(ANNA.user_id)
    assert room.male
    assert room.female
    assert (room.male.away, room.female.away) == (True, False)
