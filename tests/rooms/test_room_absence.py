"""Lost connections: absence is shown, then costs the seat, the membership or the live."""

from dataclasses import replace

import pytest

from rooms.members import Member, Person
from rooms.room import Room
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    GRACE,
    HOST,
    NOW,
    STRANGER,
    changed,
    events_of,
    left,
    live_room,
    membership,
    new_roles,
    new_room,
    reloaded,
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
) -> float | None:
    """Apply the absence `seconds` after NOW; returns the next check, also in seconds after NOW."""
    now, begin = NOW + int(seconds * 1000), NOW + int(since * 1000)
    next_check = room.apply_absence(person.user_id, now, GRACE, since=begin, streams=streams)
    return None if next_check is None else (next_check - NOW) / 1000


def shown_away(room: Room, *people: Person) -> Room:
    """The room with the absence of `people` since NOW already shown."""
    for person in people:
        room = room_with_away(room, person)
        apply_absence(room, person, 3)
        room = reloaded(room)
    return room


def types_of(room: Room) -> list[str]:
    return [event_type for event_type, _ in events_of(room)]


# ---- showing an absence


@pytest.mark.parametrize("person", [HOST, BERT, CARL, STRANGER])
def test_a_connected_user_has_no_absence_and_no_return_from_one_that_was_not_shown(
    person: Person,
) -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    assert apply_absence(room, person, 10**6) is None
    assert not changed(room)
    room = room_with_away(room, person)
    room.mark_connected(person.user_id)
    assert not changed(room)


@pytest.mark.parametrize(
    ("room", "stale"),
    [
        (live_room(), membership(BERT, live_id=2)),
        (live_room(), membership(BERT, epoch="older", role="male")),
        (new_room(), membership(BERT, epoch="")),
    ],
    ids=["another room", "earlier live", "ended live"],
)
def test_an_absence_elsewhere_is_ignored(room: Room, stale: Member) -> None:
    room.members[BERT.user_id] = replace(stale, away_at=NOW)
    assert apply_absence(room, BERT, 10**6) is None
    assert not changed(room)


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
def test_an_absence_on_mic_is_shown_once_after_its_delay(
    person: Person, role: str, grace: float
) -> None:
    """A concurrent reconnect causes a write conflict, and the rule runs again."""
    room = room_with_away(room_with_guests(BERT, ANNA), person)
    assert apply_absence(room, person, 2.999) == 3
    assert not changed(room)
    assert apply_absence(room, person, 3) == grace
    paused = [("live_pause", {**HOST.public_profile()})] if person is HOST else []
    assert events_of(room) == [("member_away", {**person.public_profile(), "role": role}), *paused]
    seat = room.owner if person is HOST else room.seat_of(person.user_id)
    assert seat
    assert seat.away
    assert changed(room) == ({"owner", "status"} if person is HOST else {role})
    assert room.status == ("paused" if person is HOST else "live")
    assert room.streams_to_drop == {}
    room = reloaded(room)
    for seconds in (3, 20, grace - 0.001):
        assert apply_absence(room, person, seconds) == grace
        assert not changed(room)


@pytest.mark.parametrize("person", [CARL, ANNA])
def test_the_absence_of_a_viewer_or_applicant_is_not_shown_but_ends_the_membership(
    person: Person,
) -> None:
    room = live_room(CARL, ANNA)
    room.apply(ANNA, NOW)
    room = room_with_away(room, person)
    assert apply_absence(room, person, 59.999, since=-600, streams=True) == 60
    assert not changed(room)
    assert apply_absence(room, person, 60) is None
    assert left(room) == {person.user_id}
    assert types_of(room) == (["micro_refuse"] if person is ANNA else [])


# ---- reconnecting


@pytest.mark.parametrize(("person", "role", "grace"), ON_MIC)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "by the next check"])
def test_a_returning_user_is_shown_as_back(
    person: Person, role: str, grace: float, *, late: bool
) -> None:
    room = shown_away(room_with_guests(BERT, ANNA), HOST, BERT, ANNA)
    if late:  # the write that should have shown the return failed
        members = {**room.members, person.user_id: membership(person, role=role)}
        room = replace(room, members=members)
        assert apply_absence(room, person, grace) is None
    else:
        room.mark_connected(person.user_id)
    resumed = [("live_resume", {**HOST.public_profile()})] if person is HOST else []
    assert events_of(room) == [("member_back", {**person.public_profile(), "role": role}), *resumed]
    assert changed(room) == ({"owner", "status"} if person is HOST else {role})
    assert room.status == ("live" if person is HOST else "paused")
    assert room.male
    assert room.female
    away = {HOST: room.owner.away, BERT: room.male.away, ANNA: room.female.away}
    assert away == {someone: someone is not person for someone in (HOST, BERT, ANNA)}
    assert room.male.stream == "stream-bert"


# ---- end of the grace period


@pytest.mark.parametrize(("guest", "seat", "grace"), ON_MIC[1:])
def test_an_absent_guest_loses_the_seat_and_later_the_membership(
    guest: Person, seat: str, grace: float
) -> None:
    room = shown_away(room_with_guests(BERT, ANNA), guest)
    assert apply_absence(room, guest, grace) == 60
    assert events_of(room) == [("micro_leave", {**guest.public_profile(), "reason": "offline"})]
    assert getattr(room, seat) is None
    assert new_roles(room) == {guest.user_id: "viewer"}
    assert left(room) == set()
    assert room.streams_to_drop.keys() == {f"stream-{guest.nickname}"}
    room = reloaded(room)
    room.mark_connected(guest.user_id)
    assert apply_absence(room, guest, 59.999) == 60
    assert not changed(room)
    assert apply_absence(room, guest, 60) is None
    assert (left(room), events_of(room)) == ({guest.user_id}, [])


def test_a_late_check_shows_an_absence_and_ends_seat_and_membership() -> None:
    room = room_with_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 60) is None
    assert types_of(room) == ["member_away", "micro_leave"]
    assert room.male is None
    assert left(room) == {BERT.user_id}
    assert room.streams_to_drop.keys() == {"stream-bert"}


def test_the_absence_of_the_host_ends_the_live() -> None:
    room = shown_away(room_with_guests(BERT, ANNA), HOST)
    assert apply_absence(room, HOST, 119.999, streams=True) == 120
    assert not changed(room)
    assert apply_absence(room, HOST, 120) is None
    assert events_of(room) == [("live_end", {**HOST.public_profile(), "reason": "offline"})]
    assert not room.live
    assert room.streams_to_drop.keys() == {"stream-host", "stream-bert", "stream-anna"}


# ---- length of the grace period


@pytest.mark.parametrize(
    ("person", "ends", "next_check"),
    [(CARL, 90, None), (HOST, 150, None), (BERT, 75, 90)],
    ids=["viewer", "host", "guest"],
)
def test_the_grace_period_starts_when_clients_can_reconnect(
    person: Person, ends: float, next_check: float | None
) -> None:
    room = shown_away(room_with_guests(BERT, watching=(CARL,)), HOST, BERT)
    room = room_with_away(room, CARL)
    assert apply_absence(room, person, ends - 0.001, since=30) == ends
    assert not changed(room)
    assert apply_absence(room, person, ends, since=30) == next_check
    assert changed(room)


def test_an_absence_is_shown_even_while_clients_cannot_reconnect() -> None:
    room = room_with_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 3, since=30) == 75
    assert types_of(room) == ["member_away"]


def test_a_guest_whose_stream_is_live_has_twice_the_grace_period() -> None:
    room = shown_away(room_with_guests(BERT), BERT)
    assert apply_absence(room, BERT, 89.999, streams=True) == 90
    assert not changed(room)
    stopped = reloaded(room_with_away(room, BERT))
    assert apply_absence(stopped, BERT, 50) == 60, "the stream has ended meanwhile"
    assert types_of(stopped) == ["micro_leave"]
    assert apply_absence(room, BERT, 90, streams=True) is None
    assert types_of(room) == ["micro_leave"]
    assert left(room) == {BERT.user_id}
