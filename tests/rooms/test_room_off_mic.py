"""Refusing, leaving the mic or the queue, and expiry."""

import pytest

from core.errors import InvalidParameter
from rooms.errors import NotHost
from rooms.members import Person
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    HOST,
    NOW,
    STRANGER,
    events_of,
    live_room,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_guests,
    room_without,
)

# ---- refusing


def test_an_applicant_can_withdraw() -> None:
    room = room_with_applicants(BERT)
    room.refuse(BERT.user_id)
    assert room.applications == {}
    assert room.roles == {BERT.user_id: "viewer"}
    assert room.role_of(BERT.user_id) == "viewer"
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "withdrawn"})]


@pytest.mark.parametrize("room", [live_room(BERT), room_with_applicants(BERT)])
def test_refusing_an_invitation_also_ends_the_application(room) -> None:
    room = reloaded(room)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = reloaded(room)
    room.refuse(BERT.user_id)
    assert room.applications == {}
    assert room.role_of(BERT.user_id) == "viewer"
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "refused"})]


@pytest.mark.parametrize("person", [BERT, ANNA, HOST, STRANGER])
def test_refusing_without_an_invitation_changes_nothing(person: Person) -> None:
    room = room_with_guests(BERT, watching=(ANNA,))
    room.refuse(person.user_id)
    assert not room.changed


# ---- leaving the mic


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
@pytest.mark.parametrize(("by", "reason"), [(None, "left"), (HOST, "host")])
def test_a_guest_leaves_the_seat_or_is_removed_by_the_host(guest, seat, by, reason) -> None:
    room = room_with_guests(BERT, ANNA)
    room.leave_mic((by or guest).user_id, guest.user_id)
    assert getattr(room, seat) is None
    assert room.touched == {seat}
    assert room.roles == {guest.user_id: "viewer"}
    assert room.role_of(guest.user_id) == "viewer"
    assert events_of(room) == [("micro_leave", {**guest.face(), "reason": reason})]


def test_the_host_removes_an_applicant_from_the_queue() -> None:
    room = room_with_applicants(BERT, CARL)
    room.leave_mic(HOST.user_id, BERT.user_id)
    assert list(room.applications) == [CARL.user_id]
    assert room.roles == {BERT.user_id: "viewer"}
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "host"})]


def test_the_host_withdraws_an_invitation() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = reloaded(room)
    room.leave_mic(HOST.user_id, BERT.user_id, 1)
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "host"})]


@pytest.mark.parametrize("person", [ANNA, CARL, STRANGER])
def test_only_the_host_removes_another_user_from_mic(person: Person) -> None:
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    with pytest.raises(NotHost):
        room.leave_mic(person.user_id, BERT.user_id)
    assert not room.changed


@pytest.mark.parametrize("gender", [None, 1, 2])
@pytest.mark.parametrize("person", [CARL, DORA, HOST, STRANGER])
def test_leaving_without_being_on_mic_changes_nothing(person: Person, gender) -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room = reloaded(room)
    room.leave_mic(person.user_id, person.user_id, gender)
    assert not room.changed
    assert CARL.user_id in room.applications


def test_leaving_the_mic_twice_changes_nothing() -> None:
    room = room_with_guests(BERT)
    room.leave_mic(BERT.user_id, BERT.user_id)
    room = reloaded(room)
    room.leave_mic(BERT.user_id, BERT.user_id)
    assert not room.changed


@pytest.mark.parametrize(("target", "gender"), [(BERT, 2), (ANNA, 1), (CARL, 2)])
def test_a_wrong_gender_is_an_invalid_parameter(target: Person, gender: int) -> None:
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    room = reloaded(room)
    with pytest.raises(InvalidParameter) as refusal:
        room.leave_mic(HOST.user_id, target.user_id, gender)
    assert refusal.value.fields.keys() == {"gender"}
    assert not room.changed


def test_a_matching_gender_is_accepted() -> None:
    room = room_with_guests(BERT)
    room.leave_mic(BERT.user_id, BERT.user_id, 1)
    assert room.male is None


def test_leaving_the_mic_of_an_ended_live_changes_nothing() -> None:
    room = new_room()
    room.leave_mic(HOST.user_id, BERT.user_id)
    assert not room.changed


# ---- expiry


def test_an_application_expires_at_its_expiry_time() -> None:
    room = room_with_applicants(BERT)
    room.expire(NOW + 599_999)
    assert not room.changed
    room.expire(NOW + 600_000)
    assert room.applications == {}
    assert room.role_of(BERT.user_id) == "viewer"
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "expired"})]


def test_an_expired_invitation_also_ends_the_application() -> None:
    room = room_with_applicants(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = reloaded(room)
    room.expire(NOW + 60_000)
    assert room.applications == {}
    assert room.roles == {BERT.user_id: "viewer"}
    assert events_of(room) == [("micro_refuse", {**BERT.face(), "reason": "expired"})]


def test_only_expired_applications_end() -> None:
    room = room_with_applicants(BERT, CARL)
    room.expire(NOW + 600_500)
    assert list(room.applications) == [CARL.user_id]


def test_applications_expire_without_loaded_memberships() -> None:
    room = room_without(room_with_applicants(BERT, ANNA), HOST, BERT, ANNA)
    room.expire(NOW + 700_000)
    assert room.roles == {BERT.user_id: "viewer", ANNA.user_id: "viewer"}
    assert room.members == {}
    assert [event.data["user_id"] for event in room.events] == [BERT.user_id, ANNA.user_id]


def test_seats_never_expire() -> None:
    room = room_with_guests(BERT, ANNA)
    room.expire(NOW + 10**9)
    assert not room.changed


# ---- seats without a membership


def test_the_host_clears_a_seat_whose_guest_has_no_membership() -> None:
    room = room_without(room_with_guests(BERT), BERT)
    room.leave_mic(HOST.user_id, BERT.user_id)
    assert room.male is None


def test_removing_a_guest_without_membership_clears_the_seat() -> None:
    room = room_without(room_with_guests(BERT), BERT)
    room.remove_member(BERT.user_id, "offline")
    assert room.male is None
    assert events_of(room) == [("micro_leave", {**BERT.face(), "reason": "offline"})]
