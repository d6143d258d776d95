"""Applications, invitations and taking a seat."""

from dataclasses import replace

import pytest

from core.errors import QLiveError
from rooms import room as room_module
from rooms.errors import (
    AlreadyOnMic,
    NoGender,
    NotAdmitted,
    NotHost,
    NotInRoom,
    NotLive,
    QueueFull,
    SeatTaken,
)
from rooms.members import Person
from rooms.room import Application, Room, Seat
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
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

IN_A_MINUTE = NOW + 60_000


def invited(person: Person) -> Room:
    room = live_room(person)
    room.invite(HOST.user_id, person, NOW, 60)
    return reloaded(room)


def apply_to(room: Room, person: Person) -> None:
    room.apply(person, NOW, 600)


def invite(room: Room, person: Person) -> None:
    room.invite(HOST.user_id, person, NOW, 60)


def take_seat(room: Room, person: Person) -> None:
    room.accept(person, "open", "s", "u")


# ---- applying


def test_a_viewer_applies() -> None:
    room = live_room(BERT)
    room.apply(BERT, NOW, 600)
    assert room.applications == {
        BERT.user_id: Application(BERT, 1, NOW, invited=False, expires_at=NOW + 600_000)
    }
    assert room.roles == {BERT.user_id: "applied"}
    assert room.role_of(BERT.user_id) == "applied"
    times = {"applied_at": NOW, "expires_at": NOW + 600_000}
    assert events_of(room) == [("micro_apply", {**BERT.face(), **times})]


def test_applying_again_changes_nothing() -> None:
    room = room_with_applicants(BERT)
    room.apply(BERT, NOW + 5, 600)
    assert not room.changed


def test_an_application_keeps_the_expiry_of_the_invitation() -> None:
    room = invited(BERT)
    room.apply(BERT, NOW + 5, 600)
    assert room.applications[BERT.user_id] == Application(
        BERT, 1, NOW + 5, invited=True, expires_at=IN_A_MINUTE
    )
    assert room.roles == {BERT.user_id: "applied"}
    times = {"applied_at": NOW + 5, "expires_at": IN_A_MINUTE}
    assert events_of(room) == [("micro_apply", {**BERT.face(), **times})]


def test_a_viewer_can_apply_for_a_taken_seat() -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    assert room.role_of(CARL.user_id) == "applied"


def test_applicants_are_listed_by_gender_and_time() -> None:
    room = room_with_applicants(CARL, ANNA, BERT, DORA)
    assert room.applicants(1) == [CARL, BERT]
    assert room.applicants(2) == [ANNA, DORA]


def test_simultaneous_applicants_are_listed_in_order_of_arrival() -> None:
    room = live_room(CARL, BERT)
    room.apply(CARL, NOW, 600)
    room.apply(BERT, NOW, 600)
    assert room.applicants(1) == [CARL, BERT]


def test_an_invited_viewer_is_not_an_applicant() -> None:
    room = invited(BERT)
    assert room.applicants(1) == []
    assert room.role_of(BERT.user_id) == "viewer"


# ---- full queues


@pytest.fixture
def queue_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "QUEUE_SIZE", 1)


@pytest.mark.usefixtures("queue_of_one")
def test_a_full_queue_refuses_another_applicant_of_its_gender_only() -> None:
    room = live_room(BERT, CARL, ANNA)
    room.apply(BERT, NOW, 600)
    room = reloaded(room)
    refused(room, lambda r, p: r.apply(p, NOW, 600), CARL, QueueFull)
    room.apply(BERT, NOW + 5, 600)
    assert not room.changed
    room.apply(ANNA, NOW, 600)
    assert room.role_of(ANNA.user_id) == "applied"


@pytest.mark.usefixtures("queue_of_one")
def test_a_place_in_the_queue_is_free_again_when_an_application_ends() -> None:
    room = room_with_applicants(BERT)
    room.enter(CARL, NOW)
    room = reloaded(room)
    room.expire(NOW + 600_000)
    room.apply(CARL, NOW, 600)
    assert room.applicants(1) == [CARL]


@pytest.mark.usefixtures("queue_of_one")
def test_a_full_queue_does_not_keep_the_host_from_inviting() -> None:
    room = live_room(BERT, CARL)
    room.apply(BERT, NOW, 600)
    room.invite(HOST.user_id, CARL, NOW, 60)
    room = reloaded(room)
    refused(room, lambda r, p: r.apply(p, NOW, 600), CARL, QueueFull)
    assert room.accept(CARL, "applied", "s", "u").person == CARL


@pytest.mark.usefixtures("queue_of_one")
def test_invitations_of_a_gender_are_limited() -> None:
    room = live_room(BERT, CARL, ANNA)
    room.apply(CARL, NOW, 600)
    room.invite(HOST.user_id, BERT, NOW, 60)
    room = reloaded(room)
    refused(room, lambda r, p: r.invite(HOST.user_id, p, NOW, 60), CARL, QueueFull)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    room.invite(HOST.user_id, BERT, NOW + 30_000, 60)
    assert room.applications[BERT.user_id].expires_at == NOW + 90_000


# ---- users who can neither apply, nor be invited, nor sit


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
def test_an_ended_live_refuses_applications_invitations_and_seats(action) -> None:
    room = new_room()
    room.members[BERT.user_id] = membership(BERT, epoch="")
    refused(room, action, BERT, NotLive)


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
def test_a_stranger_can_neither_apply_nor_be_invited_nor_sit(action) -> None:
    refused(live_room(BERT), action, STRANGER, NotInRoom)


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
@pytest.mark.parametrize("stale", [membership(CARL, live_id=2), membership(CARL, epoch="older")])
def test_a_membership_of_another_room_or_earlier_live_is_not_enough(action, stale) -> None:
    room = live_room(BERT)
    room.members[CARL.user_id] = stale
    refused(room, action, CARL, NotInRoom)


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
def test_the_host_is_already_on_mic(action) -> None:
    refused(live_room(), action, HOST, AlreadyOnMic)


@pytest.mark.parametrize("action", [apply_to, invite])
def test_a_guest_is_already_on_mic(action) -> None:
    refused(room_with_guests(BERT, ANNA), action, BERT, AlreadyOnMic)
    refused(room_with_guests(BERT, ANNA), action, ANNA, AlreadyOnMic)


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
def test_a_user_without_gender_can_only_watch(action) -> None:
    refused(live_room(KIM), action, KIM, NoGender)


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
def test_the_gender_at_entry_decides_about_the_seat(action) -> None:
    room = live_room(BERT, KIM)
    action(room, replace(BERT, gender=2))
    entry = room.male or room.applications[BERT.user_id]
    assert entry.person == BERT
    assert room.events[0].data["gender"] == 1
    refused(reloaded(room), action, replace(KIM, gender=1), NoGender)


def refused(room: Room, action, person: Person, error: type[QLiveError]) -> None:
    with pytest.raises(error):
        action(room, person)
    assert not room.changed


# ---- inviting


def test_the_host_invites_a_viewer() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    assert room.applications == {
        BERT.user_id: Application(BERT, 1, None, invited=True, expires_at=IN_A_MINUTE)
    }
    assert room.roles == {}
    assert room.guarded == {BERT.user_id}
    assert events_of(room) == [("micro_invite", {**BERT.face(), "expires_at": IN_A_MINUTE})]


def test_an_invited_applicant_keeps_the_position_in_the_queue() -> None:
    room = room_with_applicants(BERT, CARL)
    room.invite(HOST.user_id, BERT, NOW + 3_000, 60)
    assert room.applications[BERT.user_id] == Application(
        BERT, 1, NOW, invited=True, expires_at=NOW + 63_000
    )
    assert room.role_of(BERT.user_id) == "applied"
    assert room.applicants(1) == [BERT, CARL]
    assert events_of(room) == [("micro_invite", {**BERT.face(), "expires_at": NOW + 63_000})]


def test_inviting_again_extends_the_invitation() -> None:
    room = invited(BERT)
    room.invite(HOST.user_id, BERT, NOW + 30_000, 60)
    assert room.applications[BERT.user_id].expires_at == NOW + 90_000
    assert room.applications[BERT.user_id].n == 1


@pytest.mark.parametrize("person", [BERT, CARL, STRANGER])
def test_only_the_host_invites(person: Person) -> None:
    room = room_with_guests(BERT, watching=(CARL, ANNA))
    with pytest.raises(NotHost):
        room.invite(person.user_id, ANNA, NOW, 60)
    assert not room.changed


def test_a_taken_seat_cannot_be_offered() -> None:
    refused(room_with_guests(BERT, watching=(CARL,)), invite, CARL, SeatTaken)
    refused(room_with_guests(ANNA, watching=(DORA,)), invite, DORA, SeatTaken)


def test_the_other_seat_can_still_be_offered() -> None:
    room = room_with_guests(BERT, watching=(ANNA,))
    room.invite(HOST.user_id, ANNA, NOW, 60)
    assert ANNA.user_id in room.applications


# ---- accepting


@pytest.mark.parametrize(("person", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_an_applicant_takes_the_seat_of_their_gender(person: Person, seat: str) -> None:
    room = room_with_applicants(person)
    answer = room.accept(person, "applied", "stream", "rtmp://play/stream?sign")
    assert answer == Seat(person, "stream") == getattr(room, seat)
    assert room.applications == {}
    assert room.roles == {person.user_id: seat}
    assert room.touched == {seat, f"applications.{person.user_id}"}
    details = {
        "play_url": "rtmp://play/stream?sign",
        "area": person.area,
        "age": person.age,
    }
    assert events_of(room) == [("micro_accept", {**person.face(), **details})]


def test_accepting_again_returns_the_same_seat_without_an_event() -> None:
    room = room_with_guests(BERT)
    assert room.accept(BERT, "applied", "another", "u") == Seat(BERT, "stream-bert")
    assert not room.changed


def test_two_users_who_accept_get_one_seat() -> None:
    room = room_with_applicants(BERT, CARL)
    room.accept(BERT, "applied", "s", "u")
    refused(reloaded(room), lambda r, p: r.accept(p, "applied", "t", "u"), CARL, SeatTaken)
    assert room.male == Seat(BERT, "s")


def test_a_taken_seat_is_reported_before_a_missing_application() -> None:
    refused(
        room_with_guests(BERT, watching=(CARL,)),
        lambda r, p: r.accept(p, "applied", "t", "u"),
        CARL,
        SeatTaken,
    )


@pytest.mark.parametrize(
    ("admission", "state", "admitted"),
    [
        ("open", "watching", True),
        ("applied", "watching", False),
        ("applied", "applied", True),
        ("applied", "invited", True),
        ("invited", "watching", False),
        ("invited", "applied", False),
        ("invited", "invited", True),
    ],
)
def test_admission_policy_decides_who_may_sit(admission, state: str, admitted: bool) -> None:
    rooms = {"watching": live_room, "applied": room_with_applicants, "invited": invited}
    room = rooms[state](BERT)
    if not admitted:
        refused(room, lambda r, p: r.accept(p, admission, "s", "u"), BERT, NotAdmitted)
        return
    room.accept(BERT, admission, "s", "u")
    assert room.role_of(BERT.user_id) == "male"
    assert room.applications == {}


def test_the_seat_shows_the_profile_as_of_accepting() -> None:
    room = room_with_applicants(BERT)
    seat = room.accept(replace(BERT, nickname="berti", age=31), "applied", "s", "u")
    assert (seat.person.nickname, seat.person.age) == ("berti", 31)
