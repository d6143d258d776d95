"""Somebody's connection is gone: the room is told, waits, and goes on without them."""

from dataclasses import replace

import pytest

from rooms.people import Person
from rooms.presence import Patience
from rooms.room import Room
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    HOST,
    NOW,
    PATIENCE,
    STRANGER,
    after,
    applied,
    away,
    live_room,
    new_room,
    place,
    said,
    seated,
)

ON_MIC = [(HOST, "host", 120), (BERT, "male", 45), (ANNA, "female", 45)]


def miss(
    room: Room,
    person: Person,
    seconds: float,
    *,
    since: float = 0,
    streams: bool = False,
    patience: Patience = PATIENCE,
) -> float | None:
    """What comes of it so long after NOW; the answer is in seconds after NOW, too."""
    now, begins = NOW + int(seconds * 1000), NOW + int(since * 1000)
    again = room.miss(person.user_id, now, patience, since=begins, streams=streams)
    return None if again is None else (again - NOW) / 1000


def shown_away(room: Room, *people: Person) -> Room:
    """The room that has been told of their absence since NOW."""
    for person in people:
        room = away(room, person)
        miss(room, person, 3)
        room = after(room)
    return room


# ---- shown


@pytest.mark.parametrize("person", [HOST, BERT, CARL, STRANGER])
def test_nothing_comes_of_somebody_whose_connection_stands(person: Person) -> None:
    room = seated(BERT, watching=(CARL,))
    assert miss(room, person, 10**6) is None
    assert not room.changed


@pytest.mark.parametrize("old", [place(BERT, live_id=2), place(BERT, epoch="older", role="male")])
def test_nothing_comes_of_an_absence_from_another_room_or_an_older_life(old) -> None:
    room = live_room()
    room.members[BERT.user_id] = replace(old, away_at=NOW)
    assert miss(room, BERT, 10**6) is None
    assert not room.changed


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_an_absence_is_not_shown_before_its_moment(person: Person, role: str, grace: float) -> None:
    room = away(seated(BERT, ANNA), person)
    assert miss(room, person, 2.999) == 3
    assert not room.changed
    assert not room.held


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_a_guests_absence_is_shown_after_its_moment(guest, seat: str, grace: float) -> None:
    room = away(seated(BERT, ANNA), guest)
    assert miss(room, guest, 3) == grace
    assert said(room) == [("member_away", {**guest.face(), "role": seat})]
    assert getattr(room, seat).away
    assert room.touched == {seat}
    assert room.status == "live"
    assert (room.roles, room.gone, room.dropped) == ({}, set(), set())


def test_the_hosts_absence_pauses_the_live() -> None:
    room = away(seated(BERT), HOST)
    assert miss(room, HOST, 3) == 120
    assert said(room) == [
        ("member_away", {**HOST.face(), "role": "host"}),
        ("live_pause", {**HOST.face()}),
    ]
    assert (room.status, room.owner.away, room.live) == ("paused", True, True)
    assert room.touched == {"owner", "status"}
    assert room.male is not None


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_whoever_comes_back_in_the_instant_of_being_shown_away_is_looked_at_anew(
    person: Person, role: str, grace: float
) -> None:
    """The place is held: a connection that has come meanwhile makes the write lose its race."""
    room = away(seated(BERT, ANNA), person)
    miss(room, person, 3)
    assert room.held == {person.user_id}
    assert person.user_id in room.seen


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_an_absence_is_shown_once(person: Person, role: str, grace: float) -> None:
    room = shown_away(seated(BERT, ANNA), person)
    for seconds in (3, 20, grace - 0.001):
        assert miss(room, person, seconds) == grace
        assert not room.changed


@pytest.mark.parametrize("person", [CARL, ANNA])
def test_a_viewers_or_applicants_absence_is_never_shown(person: Person) -> None:
    room = after(live_room(CARL, ANNA))
    room.apply(ANNA, NOW, 600)
    room = away(after(room), person)
    assert miss(room, person, 59.999) == 60
    assert not room.changed


def test_a_profile_that_changes_while_somebody_is_away_leaves_them_away() -> None:
    room = shown_away(seated(BERT), BERT, HOST)
    for person in (BERT, HOST):
        room.update_profile(replace(person, nickname="new"))
    assert room.male
    assert (room.male.away, room.owner.away, room.status) == (True, True, "paused")


# ---- back


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_a_guest_comes_back(guest: Person, seat: str, grace: float) -> None:
    room = shown_away(seated(BERT, ANNA), guest)
    room.come_back(guest.user_id)
    assert said(room) == [("member_back", {**guest.face(), "role": seat})]
    assert not getattr(room, seat).away
    assert room.touched == {seat}
    assert getattr(room, seat).stream == f"stream-{guest.nickname}"


def test_with_the_host_the_show_goes_on() -> None:
    room = shown_away(seated(BERT), HOST)
    room.come_back(HOST.user_id)
    assert said(room) == [
        ("member_back", {**HOST.face(), "role": "host"}),
        ("live_resume", {**HOST.face()}),
    ]
    assert (room.status, room.owner.away) == ("live", False)
    assert room.touched == {"owner", "status"}


@pytest.mark.parametrize("person", [HOST, BERT, CARL, STRANGER])
def test_nobody_hears_of_the_return_of_somebody_who_was_not_shown_away(person: Person) -> None:
    room = away(seated(BERT, watching=(CARL,)), person)
    room.come_back(person.user_id)
    assert not room.changed


def test_one_who_comes_back_after_the_end_is_told_nothing_new() -> None:
    room = shown_away(seated(BERT), HOST, BERT)
    room.close("operator")
    room = after(room)
    for person in (HOST, BERT):
        room.come_back(person.user_id)
    assert not room.changed


def test_whoever_goes_again_has_the_whole_time_again() -> None:
    room = shown_away(seated(BERT), BERT)
    room.come_back(BERT.user_id)
    room = away(after(room), BERT, NOW + 44_000)
    assert miss(room, BERT, 45) == 47
    assert not room.changed
    assert miss(room, BERT, 47) == 89


def test_a_paused_room_goes_on_for_everybody_else() -> None:
    room = shown_away(live_room(BERT, ANNA), HOST)
    room.apply(BERT, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    room.accept(BERT, "applied", "s", "u")
    assert room.enter(STRANGER, NOW) == "viewer"
    assert [word for word, _ in said(room)] == ["micro_apply", "micro_invite", "micro_accept"]
    assert room.status == "paused"


def test_a_host_who_enters_a_paused_live_resumes_that_one() -> None:
    room = shown_away(seated(BERT), HOST)
    assert room.open(HOST, "other", "other-stream", NOW) is False
    assert not room.changed
    assert room.owner.stream == "stream-host"


def test_a_new_live_is_not_paused() -> None:
    room = shown_away(live_room(), HOST)
    room.close("offline")
    room = after(room)
    room.open(HOST, "next", "stream", NOW)
    assert (room.status, room.owner.away) == ("live", False)


# ---- nobody waits for ever


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_a_guest_loses_first_the_seat_and_then_the_place(guest, seat: str, grace: float) -> None:
    room = shown_away(seated(BERT, ANNA), guest)
    assert miss(room, guest, 45) == 60
    assert said(room) == [("micro_leave", {**guest.face(), "reason": "offline"})]
    assert getattr(room, seat) is None
    assert room.roles == {guest.user_id: "viewer"}
    assert (room.gone, room.dropped) == (set(), {f"stream-{guest.nickname}"})
    room = after(room)
    assert miss(room, guest, 59.999) == 60
    assert not room.changed
    assert miss(room, guest, 60) is None
    assert (room.gone, said(room)) == ({guest.user_id}, [])


def test_a_guest_who_is_looked_at_late_is_shown_and_loses_both_at_once() -> None:
    room = away(seated(BERT), BERT)
    assert miss(room, BERT, 60) is None
    assert [word for word, _ in said(room)] == ["member_away", "micro_leave"]
    assert room.male is None
    assert (room.gone, room.roles, room.dropped) == ({BERT.user_id}, {}, {"stream-bert"})


def test_a_guest_who_has_lost_the_seat_comes_back_as_a_viewer() -> None:
    room = shown_away(seated(BERT), BERT)
    miss(room, BERT, 45)
    room = after(room)
    room.come_back(BERT.user_id)
    assert not room.changed
    assert room.enter(BERT, NOW) == "viewer"


def test_a_viewer_leaves_without_a_word_when_the_time_is_over() -> None:
    room = away(live_room(CARL), CARL)
    assert miss(room, CARL, 60) is None
    assert (room.gone, said(room)) == ({CARL.user_id}, [])


def test_an_applicant_leaves_the_queue_when_the_time_is_over() -> None:
    room = away(applied(BERT, CARL), BERT)
    assert miss(room, BERT, 60) is None
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "offline"})]
    assert list(room.applications) == [CARL.user_id]
    assert (room.gone, room.roles) == ({BERT.user_id}, {})


def test_an_invitation_of_somebody_who_is_gone_ends_with_their_place() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 600)
    room = away(after(room), BERT)
    miss(room, BERT, 60)
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "offline"})]


def test_the_hosts_absence_ends_the_live() -> None:
    room = shown_away(seated(BERT, ANNA), HOST)
    assert miss(room, HOST, 119.999) == 120
    assert not room.changed
    assert miss(room, HOST, 120) is None
    assert said(room) == [("live_end", {**HOST.face(), "reason": "offline"})]
    assert not room.live
    assert room.dropped == {"stream-host", "stream-bert", "stream-anna"}


# ---- how long


@pytest.mark.parametrize(
    ("person", "ends"), [(CARL, 90), (HOST, 150), (BERT, 75)], ids=["viewer", "host", "guest"]
)
def test_time_in_which_nobody_could_come_back_does_not_count(person: Person, ends: float) -> None:
    room = shown_away(seated(BERT, watching=(CARL,)), HOST, BERT)
    room = away(room, CARL)
    assert miss(room, person, ends - 0.001, since=30) == ends
    assert not room.changed
    miss(room, person, ends, since=30)
    assert room.changed


def test_a_guest_has_the_time_of_a_viewer_after_that_as_well() -> None:
    room = shown_away(seated(BERT), BERT)
    assert miss(room, BERT, 75, since=30) == 90


def test_an_absence_is_shown_all_the_same_while_nobody_can_come_back() -> None:
    room = away(seated(BERT), BERT)
    assert miss(room, BERT, 3, since=30) == 75
    assert [word for word, _ in said(room)] == ["member_away"]


def test_what_was_before_the_absence_prolongs_nothing() -> None:
    room = away(live_room(CARL), CARL)
    assert miss(room, CARL, 59, since=-600) == 60


def test_a_guest_whose_picture_arrives_has_twice_the_time() -> None:
    room = away(seated(BERT), BERT)
    assert miss(room, BERT, 3, streams=True) == 90
    room = after(room)
    assert miss(room, BERT, 89.999, streams=True) == 90
    assert not room.changed
    assert miss(room, BERT, 90, streams=True) is None
    assert [word for word, _ in said(room)] == ["micro_leave"]
    assert room.gone == {BERT.user_id}


def test_a_picture_that_ends_takes_the_second_time_along() -> None:
    room = shown_away(seated(BERT), BERT)
    assert miss(room, BERT, 50, streams=True) == 90
    assert miss(room, BERT, 50) == 60
    assert [word for word, _ in said(room)] == ["micro_leave"]


def test_a_picture_prolongs_neither_the_hosts_time_nor_a_viewers() -> None:
    room = away(shown_away(live_room(CARL), HOST), CARL)
    assert miss(room, CARL, 60, streams=True) is None
    assert room.gone == {CARL.user_id}
    assert miss(room, HOST, 120, streams=True) is None
    assert not room.live


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_where_an_absence_is_shown_later_than_it_may_last_both_come_at_once(
    person: Person, role: str, grace: float
) -> None:
    odd = replace(PATIENCE, shown=500_000)
    room = away(seated(BERT, ANNA), person)
    assert miss(room, person, grace - 0.001, patience=odd) == grace
    assert not room.changed
    miss(room, person, grace, patience=odd)
    words = [word for word, _ in said(room)]
    assert words[0] == "member_away"
    assert words[-1] == ("live_end" if person is HOST else "micro_leave")


def test_where_viewers_have_less_time_than_guests_the_place_goes_with_the_seat() -> None:
    room = shown_away(seated(BERT), BERT)
    assert miss(room, BERT, 45, patience=replace(PATIENCE, viewer=10_000)) is None
    assert [word for word, _ in said(room)] == ["micro_leave"]
    assert room.gone == {BERT.user_id}


def test_a_room_that_has_ended_misses_nobody() -> None:
    room = away(seated(BERT), BERT)
    room.close("host")
    room = after(room)
    assert miss(room, BERT, 10**6) is None
    assert not room.changed
    assert miss(new_room(), HOST, 10**6) is None


@pytest.mark.parametrize("person", [HOST, BERT])
def test_whoever_is_here_again_and_not_shown_so_is_shown_back(person: Person) -> None:
    """They came back, and what should have told the room has failed."""
    room = replace(shown_away(seated(BERT), person), members=seated(BERT).members)
    assert miss(room, person, 10) is None
    words = ["member_back", "live_resume"] if person is HOST else ["member_back"]
    assert [word for word, _ in said(room)] == words
    assert (room.gone, room.roles, room.status) == (set(), {}, "live")


def test_one_of_two_who_are_away_comes_back() -> None:
    room = shown_away(seated(BERT, ANNA), BERT, ANNA)
    room.come_back(ANNA.user_id)
    assert room.male
    assert room.female
    assert (room.male.away, room.female.away) == (True, False)
