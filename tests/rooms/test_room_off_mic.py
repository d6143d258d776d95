"""The way off the mic and out of the queue: refusing, leaving, running out of time."""

import pytest

from rooms.people import Person
from rooms.refusals import BadParameter, NotHost
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    DORA,
    HOST,
    NOW,
    STRANGER,
    after,
    applied,
    live_room,
    new_room,
    said,
    seated,
    without,
)

# ---- refusing


def test_an_applicant_withdraws() -> None:
    room = applied(BERT)
    room.refuse(BERT.user_id)
    assert room.applications == {}
    assert room.roles == {BERT.user_id: "viewer"}
    assert room.role_of(BERT.user_id) == "viewer"
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "withdrawn"})]


@pytest.mark.parametrize("room", [live_room(BERT), applied(BERT)])
def test_refusing_an_invitation_ends_the_application_too(room) -> None:
    room = after(room)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = after(room)
    room.refuse(BERT.user_id)
    assert room.applications == {}
    assert room.role_of(BERT.user_id) == "viewer"
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "refused"})]


@pytest.mark.parametrize("person", [BERT, ANNA, HOST, STRANGER])
def test_having_nothing_to_refuse_is_no_mistake(person: Person) -> None:
    room = seated(BERT, watching=(ANNA,))
    room.refuse(person.user_id)
    assert not room.changed


# ---- leaving the mic


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
@pytest.mark.parametrize(("by", "reason"), [(None, "left"), (HOST, "host")])
def test_a_guest_leaves_the_seat_or_is_taken_off_it(guest, seat, by, reason) -> None:
    room = seated(BERT, ANNA)
    room.leave_micro((by or guest).user_id, guest.user_id)
    assert getattr(room, seat) is None
    assert room.touched == {seat}
    assert room.roles == {guest.user_id: "viewer"}
    assert room.role_of(guest.user_id) == "viewer"
    assert said(room) == [("micro_leave", {**guest.face(), "reason": reason})]


def test_the_host_takes_an_applicant_out_of_the_queue() -> None:
    room = applied(BERT, CARL)
    room.leave_micro(HOST.user_id, BERT.user_id)
    assert list(room.applications) == [CARL.user_id]
    assert room.roles == {BERT.user_id: "viewer"}
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "host"})]


def test_the_host_takes_back_an_invitation() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = after(room)
    room.leave_micro(HOST.user_id, BERT.user_id, 1)
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "host"})]


@pytest.mark.parametrize("person", [ANNA, CARL, STRANGER])
def test_nobody_else_takes_anybody_off(person: Person) -> None:
    room = seated(BERT, ANNA, watching=(CARL,))
    with pytest.raises(NotHost):
        room.leave_micro(person.user_id, BERT.user_id)
    assert not room.changed


@pytest.mark.parametrize("gender", [None, 1, 2])
@pytest.mark.parametrize("person", [CARL, DORA, HOST, STRANGER])
def test_leaving_without_being_on_mic_is_no_mistake(person: Person, gender) -> None:
    room = seated(BERT, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room = after(room)
    room.leave_micro(person.user_id, person.user_id, gender)
    assert not room.changed
    assert CARL.user_id in room.applications


def test_leaving_the_mic_twice_is_harmless() -> None:
    room = seated(BERT)
    room.leave_micro(BERT.user_id, BERT.user_id)
    room = after(room)
    room.leave_micro(BERT.user_id, BERT.user_id)
    assert not room.changed


@pytest.mark.parametrize(("target", "gender"), [(BERT, 2), (ANNA, 1), (CARL, 2)])
def test_a_gender_that_does_not_fit_is_a_bad_parameter(target: Person, gender: int) -> None:
    room = seated(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room = after(room)
    with pytest.raises(BadParameter) as refusal:
        room.leave_micro(HOST.user_id, target.user_id, gender)
    assert refusal.value.fields.keys() == {"gender"}
    assert not room.changed


def test_a_gender_that_fits_is_welcome() -> None:
    room = seated(BERT)
    room.leave_micro(BERT.user_id, BERT.user_id, 1)
    assert room.male is None


def test_after_the_end_there_is_no_mic_to_leave() -> None:
    room = new_room()
    room.leave_micro(HOST.user_id, BERT.user_id)
    assert not room.changed


# ---- running out of time


def test_an_application_expires_with_its_last_millisecond() -> None:
    room = applied(BERT)
    room.expire(NOW + 599_999)
    assert not room.changed
    room.expire(NOW + 600_000)
    assert room.applications == {}
    assert room.role_of(BERT.user_id) == "viewer"
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "expired"})]


def test_an_invitation_that_lapses_ends_the_application_too() -> None:
    room = applied(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = after(room)
    room.expire(NOW + 60_000)
    assert room.applications == {}
    assert room.roles == {BERT.user_id: "viewer"}
    assert said(room) == [("micro_refuse", {**BERT.face(), "reason": "expired"})]


def test_only_those_whose_time_is_over_go() -> None:
    room = applied(BERT, CARL)
    room.expire(NOW + 600_500)
    assert list(room.applications) == [CARL.user_id]


def test_applications_expire_without_anybodys_place_at_hand() -> None:
    room = without(applied(BERT, ANNA), HOST, BERT, ANNA)
    room.expire(NOW + 700_000)
    assert room.roles == {BERT.user_id: "viewer", ANNA.user_id: "viewer"}
    assert room.members == {}
    assert [event.data["user_id"] for event in room.events] == [BERT.user_id, ANNA.user_id]


def test_seats_do_not_expire() -> None:
    room = seated(BERT, ANNA)
    room.expire(NOW + 10**9)
    assert not room.changed


# ---- somebody shown here whose place is not


def test_the_host_clears_a_seat_whose_guest_has_no_place() -> None:
    room = without(seated(BERT), BERT)
    room.leave_micro(HOST.user_id, BERT.user_id)
    assert room.male is None


def test_leaving_clears_a_seat_even_of_somebody_without_a_place() -> None:
    room = without(seated(BERT), BERT)
    room.depart(BERT.user_id, "offline")
    assert room.male is None
    assert said(room) == [("micro_leave", {**BERT.face(), "reason": "offline"})]
