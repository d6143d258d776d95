"""Applications, invitations, taking a seat and leaving it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.errors import InvalidParameter, QLiveError
from rooms import seating_room as room_module
from rooms.errors import (
    AlreadyOnMic,
    NoGender,
    NotAdmitted,
    NotInRoom,
    NotLive,
    QueueFull,
    SeatTaken,
)
from rooms.members import Member, Person
from rooms.room import Room
from rooms.seating_room import Admission
from rooms.state import Application, Seat
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    HOST,
    KIM,
    NOW,
    STRANGER,
    changed,
    events_of,
    live_room,
    membership,
    new_roles,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_everyone,
    room_with_guests,
    room_without,
)

IN_A_MINUTE = NOW + 60_000
Action = Callable[[Room, Person], object]


def apply_to(room: Room, person: Person) -> None:
    room.apply(person, NOW)


def invite(room: Room, person: Person) -> None:
    room.invite(HOST.user_id, person, NOW)


def take_seat(room: Room, person: Person, admission: Admission = "open") -> Seat:
    return room.accept(person, admission, "s", "u")


def invited(person: Person) -> Room:
    room = live_room(person)
    invite(room, person)
    return reloaded(room)


def refused(room: Room, action: Action, person: Person, error: type[QLiveError]) -> None:
    with pytest.raises(error):
        action(room, person)
    assert not changed(room)


# ---- applying and inviting


def test_a_viewer_applies_once() -> None:
    room = live_room(BERT)
    apply_to(room, BERT)
    assert room.applications == {
        BERT.user_id: Application(BERT, 1, NOW, invited=False, expires_at=NOW + 600_000)
    }
    assert new_roles(room) == {BERT.user_id: "applied"}
    assert room.role_of(BERT.user_id) == "applied"
    times = {"applied_at": NOW, "expires_at": NOW + 600_000}
    assert events_of(room) == [("micro_apply", {**BERT.public_profile(), **times})]
    room = reloaded(room)
    room.apply(BERT, NOW + 5)
    assert not changed(room)


def test_the_host_invites_a_viewer() -> None:
    room = live_room(BERT)
    invite(room, BERT)
    assert room.applications == {
        BERT.user_id: Application(BERT, 1, None, invited=True, expires_at=IN_A_MINUTE)
    }
    assert new_roles(room) == {}
    assert room.applicants(1) == []
    assert events_of(room) == [
        ("micro_invite", {**BERT.public_profile(), "expires_at": IN_A_MINUTE})
    ]


def test_an_application_keeps_the_expiry_of_the_invitation() -> None:
    room = invited(BERT)
    room.apply(BERT, NOW + 5)
    assert room.applications[BERT.user_id] == Application(
        BERT, 1, NOW + 5, invited=True, expires_at=IN_A_MINUTE
    )
    assert new_roles(room) == {BERT.user_id: "applied"}
    times = {"applied_at": NOW + 5, "expires_at": IN_A_MINUTE}
    assert events_of(room) == [("micro_apply", {**BERT.public_profile(), **times})]


def test_an_invited_applicant_keeps_the_position_in_the_queue() -> None:
    room = room_with_applicants(BERT, CARL)
    for seconds in (3, 30):  # inviting again extends the invitation
        until = NOW + seconds * 1000 + 60_000
        room.invite(HOST.user_id, BERT, NOW + seconds * 1000)
        assert room.applications[BERT.user_id] == Application(
            BERT, 1, NOW, invited=True, expires_at=until
        )
        assert events_of(room)[-1] == (
            "micro_invite",
            {**BERT.public_profile(), "expires_at": until},
        )
    assert room.role_of(BERT.user_id) == "applied"
    assert room.applicants(1) == [BERT, CARL]


def test_a_taken_seat_cannot_be_offered_but_applied_for() -> None:
    room = room_with_guests(BERT, watching=(CARL, ANNA))
    refused(room, invite, CARL, SeatTaken)
    apply_to(room, CARL)
    invite(room, ANNA)
    assert room.applications.keys() == {CARL.user_id, ANNA.user_id}


# ---- full queues


@pytest.fixture
def queue_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "QUEUE_SIZE", 1)


@pytest.mark.usefixtures("queue_of_one")
def test_a_full_queue_refuses_another_applicant_of_its_gender_until_one_ends() -> None:
    room = room_with_applicants(BERT)
    for person in (CARL, ANNA):
        room.enter(person, NOW)
    room = reloaded(room)
    refused(room, apply_to, CARL, QueueFull)
    apply_to(room, BERT)
    assert not changed(room), "BERT has applied already"
    apply_to(room, ANNA)
    room.expire(NOW + 600_000)
    apply_to(room, CARL)
    assert room.applicants(1) == [CARL]


@pytest.mark.usefixtures("queue_of_one")
def test_a_full_queue_does_not_keep_the_host_from_inviting() -> None:
    room = live_room(BERT, CARL)
    apply_to(room, BERT)
    invite(room, CARL)
    room = reloaded(room)
    refused(room, apply_to, CARL, QueueFull)
    assert take_seat(room, CARL, "applied").person == CARL


@pytest.mark.usefixtures("queue_of_one")
def test_invitations_of_a_gender_are_limited() -> None:
    room = live_room(BERT, CARL, ANNA)
    apply_to(room, CARL)
    invite(room, BERT)
    room = reloaded(room)
    refused(room, invite, CARL, QueueFull)
    invite(room, ANNA)
    room.invite(HOST.user_id, BERT, NOW + 30_000)
    assert room.applications[BERT.user_id].expires_at == NOW + 90_000


# ---- users who can neither apply, nor be invited, nor sit


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
@pytest.mark.parametrize(
    ("room", "stale", "person", "error"),
    [
        (new_room(), membership(BERT, epoch=""), BERT, NotLive),
        (live_room(BERT), None, STRANGER, NotInRoom),
        (live_room(), membership(BERT, live_id=2), BERT, NotInRoom),
        (live_room(), membership(BERT, epoch="older"), BERT, NotInRoom),
        (live_room(), None, HOST, AlreadyOnMic),
        (live_room(KIM), None, KIM, NoGender),
    ],
    ids=["not live", "stranger", "another room", "earlier live", "host", "no gender"],
)
def test_an_unsuitable_user_can_neither_apply_nor_be_invited_nor_sit(
    action: Action, room: Room, stale: Member | None, person: Person, error: type[QLiveError]
) -> None:
    room = reloaded(room)
    if stale:
        room.members[stale.user_id] = stale
    refused(room, action, person, error)


@pytest.mark.parametrize("action", [apply_to, invite])
def test_a_guest_is_already_on_mic(action: Action) -> None:
    for guest in (BERT, ANNA):
        refused(room_with_guests(BERT, ANNA), action, guest, AlreadyOnMic)


@pytest.mark.parametrize("action", [apply_to, invite, take_seat])
def test_the_gender_at_entry_decides_about_the_seat(action: Action) -> None:
    room = live_room(BERT, KIM)
    action(room, replace(BERT, gender=2))
    entry = room.male or room.applications[BERT.user_id]
    assert entry.person == BERT
    assert room.events[0].data["gender"] == 1
    refused(reloaded(room), action, replace(KIM, gender=1), NoGender)


# ---- accepting


@pytest.mark.parametrize(("person", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_an_applicant_takes_the_seat_of_their_gender(person: Person, seat: str) -> None:
    room = room_with_applicants(person)
    shown = replace(person, nickname="new", age=31)
    answer = room.accept(shown, "applied", "stream", "rtmp://play/stream?sign")
    assert answer == Seat(shown, "stream") == getattr(room, seat)
    assert room.applications == {}
    assert new_roles(room) == {person.user_id: seat}
    assert changed(room) == {seat, "applications", "members"}
    details = {"play_url": "rtmp://play/stream?sign", "area": person.area, "age": 31}
    assert events_of(room) == [("micro_accept", {**shown.public_profile(), **details})]


def test_accepting_again_returns_the_same_seat_without_an_event() -> None:
    room = room_with_guests(BERT)
    assert room.accept(BERT, "applied", "another", "u") == Seat(BERT, "stream-bert")
    assert not changed(room)


def test_two_users_who_accept_get_one_seat() -> None:
    """Also one who has not applied learns that the seat is taken."""
    room = room_with_applicants(BERT, CARL)
    take_seat(room, BERT, "applied")
    room = reloaded(room)
    refused(room, lambda r, p: take_seat(r, p, "applied"), CARL, SeatTaken)
    room.applications.clear()
    refused(room, lambda r, p: take_seat(r, p, "applied"), CARL, SeatTaken)
    assert room.male == Seat(BERT, "s")


@pytest.mark.parametrize(
    ("admission", "room", "admitted"),
    [
        ("open", live_room(BERT), True),
        ("applied", live_room(BERT), False),
        ("applied", room_with_applicants(BERT), True),
        ("applied", invited(BERT), True),
        ("invited", live_room(BERT), False),
        ("invited", room_with_applicants(BERT), False),
        ("invited", invited(BERT), True),
    ],
)
def test_admission_policy_decides_who_may_sit(
    admission: Admission, room: Room, *, admitted: bool
) -> None:
    room = reloaded(room)
    if not admitted:
        refused(room, lambda r, p: take_seat(r, p, admission), BERT, NotAdmitted)
        return
    take_seat(room, BERT, admission)
    assert room.role_of(BERT.user_id) == "male"
    assert room.applications == {}


# ---- refusing, and leaving mic or queue


@pytest.mark.parametrize(
    ("room", "reason"),
    [(room_with_applicants(BERT), "withdrawn"), (invited(BERT), "refused")],
)
def test_refusing_ends_an_application_or_invitation(room: Room, reason: str) -> None:
    room.refuse(BERT.user_id)
    assert room.applications == {}
    assert room.role_of(BERT.user_id) == "viewer"
    assert changed(room) - {"members"} == {"applications"}
    assert events_of(room) == [("micro_refuse", {**BERT.public_profile(), "reason": reason})]


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
@pytest.mark.parametrize(("by", "reason"), [(None, "left"), (HOST, "host")])
def test_a_guest_leaves_the_seat_or_is_removed_by_the_host(
    guest: Person, seat: str, by: Person | None, reason: str
) -> None:
    room = room_with_guests(BERT, ANNA)
    room.leave_mic(by or guest, guest.user_id, guest.gender)
    assert getattr(room, seat) is None
    assert changed(room) == {seat, "members"}
    assert new_roles(room) == {guest.user_id: "viewer"}
    assert room.role_of(guest.user_id) == "viewer"
    assert events_of(room) == [("micro_leave", {**guest.public_profile(), "reason": reason})]


@pytest.mark.parametrize(("person", "gender"), [(CARL, None), (CARL, 1), (ANNA, 2)])
def test_the_host_ends_an_application_or_invitation(person: Person, gender: int | None) -> None:
    room = room_with_everyone()
    room.leave_mic(HOST, person.user_id, gender)
    assert person.user_id not in room.applications
    assert room.role_of(person.user_id) == "viewer"
    assert events_of(room) == [("micro_refuse", {**person.public_profile(), "reason": "host"})]


@pytest.mark.parametrize("gender", [None, 1, 2])
@pytest.mark.parametrize("person", [CARL, DORA, HOST, STRANGER])
def test_leaving_without_being_on_mic_changes_nothing(person: Person, gender: int | None) -> None:
    for room in (room_with_everyone(), new_room()):
        room.leave_mic(person, person.user_id, gender)
        if person is not CARL:
            room.refuse(person.user_id)
        assert not changed(room)


@pytest.mark.parametrize(("target", "gender"), [(BERT, 2), (ANNA, 1), (CARL, 2)])
def test_a_wrong_gender_is_an_invalid_parameter(target: Person, gender: int) -> None:
    room = room_with_everyone()
    with pytest.raises(InvalidParameter) as refusal:
        room.leave_mic(HOST, target.user_id, gender)
    assert refusal.value.fields.keys() == {"gender"}
    assert not changed(room)


# ---- expiry


def test_applications_and_invitations_expire_at_their_time() -> None:
    """Seats and viewers never do."""
    room = room_with_guests(ANNA, watching=(BERT, CARL, KIM))
    apply_to(room, BERT)
    invite(room, CARL)
    room = reloaded(room)
    for now, expired in ((IN_A_MINUTE, CARL), (NOW + 600_000, BERT)):
        room.expire(now - 1)
        assert not changed(room)
        room.expire(now)
        assert room.role_of(expired.user_id) == "viewer"
        assert events_of(room) == [
            ("micro_refuse", {**expired.public_profile(), "reason": "expired"})
        ]
        room = reloaded(room)
        assert expired.user_id not in room.applications
    room.expire(NOW + 10**9)
    assert not changed(room)


def test_applications_expire_without_loaded_memberships() -> None:
    room = room_without(room_with_applicants(BERT, ANNA), HOST, BERT, ANNA)
    room.expire(NOW + 700_000)
    assert new_roles(room) == {BERT.user_id: "viewer", ANNA.user_id: "viewer"}
    assert room.members == {}
    assert [event.data["user_id"] for event in room.events] == [BERT.user_id, ANNA.user_id]
