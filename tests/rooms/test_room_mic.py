"""The way to the mic: applying, inviting, accepting."""

from dataclasses import replace

import pytest

from rooms.people import Person
from rooms.refusals import (
    NoGender,
    NotAdmitted,
    NotHost,
    NotInRoom,
    NotLive,
    OnMic,
    Refusal,
    SeatTaken,
)
from rooms.room import Application, Room, Seat
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    DORA,
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

SOON = NOW + 60_000


def invited(person: Person, room: Room | None = None) -> Room:
    room = room or live_room(person)
    room.invite(HOST.user_id, person, NOW, 60)
    return after(room)


def ask(room: Room, person: Person) -> None:
    room.apply(person, NOW, 600)


def offer(room: Room, person: Person) -> None:
    room.invite(HOST.user_id, person, NOW, 60)


def sit(room: Room, person: Person) -> None:
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
    assert said(room) == [("micro_apply", {**BERT.face(), **times})]


def test_applying_again_changes_nothing_and_tells_nobody() -> None:
    room = applied(BERT)
    room.apply(BERT, NOW + 5, 600)
    assert not room.changed


def test_an_invited_viewer_applies_within_the_invitation() -> None:
    room = invited(BERT)
    room.apply(BERT, NOW + 5, 600)
    assert room.applications[BERT.user_id] == Application(
        BERT, 1, NOW + 5, invited=True, expires_at=SOON
    )
    assert room.roles == {BERT.user_id: "applied"}
    times = {"applied_at": NOW + 5, "expires_at": SOON}
    assert said(room) == [("micro_apply", {**BERT.face(), **times})]


def test_one_may_apply_for_a_seat_that_is_taken() -> None:
    room = seated(BERT, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    assert room.role_of(CARL.user_id) == "applied"


def test_applicants_stand_by_gender_and_time() -> None:
    room = applied(CARL, ANNA, BERT, DORA)
    assert room.applicants(1) == [CARL, BERT]
    assert room.applicants(2) == [ANNA, DORA]


def test_applicants_of_the_same_moment_stand_in_the_order_in_which_they_came() -> None:
    room = live_room(CARL, BERT)
    room.apply(CARL, NOW, 600)
    room.apply(BERT, NOW, 600)
    assert room.applicants(1) == [CARL, BERT]


def test_whoever_is_only_invited_has_not_applied() -> None:
    room = invited(BERT)
    assert room.applicants(1) == []
    assert room.role_of(BERT.user_id) == "viewer"


# ---- who cannot be on the way to the mic, whichever way


@pytest.mark.parametrize("way", [ask, offer, sit])
def test_nothing_leads_to_the_mic_of_a_room_that_is_not_live(way) -> None:
    room = new_room()
    room.members[BERT.user_id] = place(BERT, epoch="")
    refused(room, way, BERT, NotLive)


@pytest.mark.parametrize("way", [ask, offer, sit])
def test_whoever_is_not_in_the_room_has_no_way_to_its_mic(way) -> None:
    refused(live_room(BERT), way, STRANGER, NotInRoom)


@pytest.mark.parametrize("way", [ask, offer, sit])
@pytest.mark.parametrize("old", [place(CARL, live_id=2), place(CARL, epoch="older")])
def test_a_place_elsewhere_or_in_an_older_life_is_no_way_to_the_mic(way, old) -> None:
    room = live_room(BERT)
    room.members[CARL.user_id] = old
    refused(room, way, CARL, NotInRoom)


@pytest.mark.parametrize("way", [ask, offer, sit])
def test_the_host_is_on_mic_already(way) -> None:
    refused(live_room(), way, HOST, OnMic)


@pytest.mark.parametrize("way", [ask, offer])
def test_a_guest_is_on_mic_already(way) -> None:
    refused(seated(BERT, ANNA), way, BERT, OnMic)
    refused(seated(BERT, ANNA), way, ANNA, OnMic)


@pytest.mark.parametrize("way", [ask, offer, sit])
def test_without_a_gender_one_only_watches(way) -> None:
    refused(live_room(KIM), way, KIM, NoGender)


@pytest.mark.parametrize("way", [ask, offer, sit])
def test_the_gender_that_counts_is_the_one_with_which_somebody_came_in(way) -> None:
    room = live_room(BERT, KIM)
    way(room, replace(BERT, gender=2))
    shown = room.male or room.applications[BERT.user_id]
    assert shown.person == BERT
    assert room.events[0].data["gender"] == 1
    refused(after(room), way, replace(KIM, gender=1), NoGender)


def refused(room: Room, way, person: Person, why: type[Refusal]) -> None:
    with pytest.raises(why):
        way(room, person)
    assert not room.changed


# ---- inviting


def test_the_host_invites_a_viewer() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    assert room.applications == {
        BERT.user_id: Application(BERT, 1, None, invited=True, expires_at=SOON)
    }
    assert room.roles == {}
    assert room.held == {BERT.user_id}
    assert said(room) == [("micro_invite", {**BERT.face(), "expires_at": SOON})]


def test_the_host_invites_an_applicant_who_keeps_the_place_in_the_queue() -> None:
    room = applied(BERT, CARL)
    room.invite(HOST.user_id, BERT, NOW + 3_000, 60)
    assert room.applications[BERT.user_id] == Application(
        BERT, 1, NOW, invited=True, expires_at=NOW + 63_000
    )
    assert room.role_of(BERT.user_id) == "applied"
    assert room.applicants(1) == [BERT, CARL]
    assert said(room) == [("micro_invite", {**BERT.face(), "expires_at": NOW + 63_000})]


def test_inviting_again_prolongs_the_invitation() -> None:
    room = invited(BERT)
    room.invite(HOST.user_id, BERT, NOW + 30_000, 60)
    assert room.applications[BERT.user_id].expires_at == NOW + 90_000
    assert room.applications[BERT.user_id].n == 1


@pytest.mark.parametrize("person", [BERT, CARL, STRANGER])
def test_only_the_host_invites(person: Person) -> None:
    room = seated(BERT, watching=(CARL, ANNA))
    with pytest.raises(NotHost):
        room.invite(person.user_id, ANNA, NOW, 60)
    assert not room.changed


def test_nobody_is_invited_to_a_seat_that_is_taken() -> None:
    refused(seated(BERT, watching=(CARL,)), offer, CARL, SeatTaken)
    refused(seated(ANNA, watching=(DORA,)), offer, DORA, SeatTaken)


def test_the_other_seat_is_still_to_be_had() -> None:
    room = seated(BERT, watching=(ANNA,))
    room.invite(HOST.user_id, ANNA, NOW, 60)
    assert ANNA.user_id in room.applications


# ---- accepting


@pytest.mark.parametrize(("person", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_an_applicant_takes_the_seat_of_their_gender(person: Person, seat: str) -> None:
    room = applied(person)
    answer = room.accept(person, "applied", "stream", "rtmp://play/stream?sign")
    assert answer == Seat(person, "stream") == getattr(room, seat)
    assert room.applications == {}
    assert room.roles == {person.user_id: seat}
    assert room.touched == {seat, f"applications.{person.user_id}"}
    shown = {
        "play_url": "rtmp://play/stream?sign",
        "area": person.area,
        "age": person.age,
    }
    assert said(room) == [("micro_accept", {**person.face(), **shown})]


def test_accepting_again_answers_the_same_seat_and_tells_nobody() -> None:
    room = seated(BERT)
    assert room.accept(BERT, "applied", "another", "u") == Seat(BERT, "stream-bert")
    assert not room.changed


def test_of_two_who_accept_one_sits() -> None:
    room = applied(BERT, CARL)
    room.accept(BERT, "applied", "s", "u")
    refused(after(room), lambda r, p: r.accept(p, "applied", "t", "u"), CARL, SeatTaken)
    assert room.male == Seat(BERT, "s")


def test_a_seat_that_is_taken_is_said_before_a_missing_application() -> None:
    refused(
        seated(BERT, watching=(CARL,)),
        lambda r, p: r.accept(p, "applied", "t", "u"),
        CARL,
        SeatTaken,
    )


@pytest.mark.parametrize(
    ("admission", "how", "admitted"),
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
def test_who_is_admitted(admission, how: str, admitted: bool) -> None:
    ways = {"watching": live_room, "applied": applied, "invited": invited}
    room = ways[how](BERT)
    if not admitted:
        refused(room, lambda r, p: r.accept(p, admission, "s", "u"), BERT, NotAdmitted)
        return
    room.accept(BERT, admission, "s", "u")
    assert room.role_of(BERT.user_id) == "male"
    assert room.applications == {}


def test_the_seat_shows_the_profile_of_the_moment_of_sitting_down() -> None:
    room = applied(BERT)
    seat = room.accept(replace(BERT, nickname="berti", age=31), "applied", "s", "u")
    assert (seat.person.nickname, seat.person.age) == ("berti", 31)
