"""Deputies: who names and ends them, and what they may do in the host's place."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.errors import InvalidParameter, QLiveError
from rooms.errors import NotHost, NotInRoom, TooManyDeputies
from rooms.inviting_room import MAX_DEPUTIES
from rooms.members import MemberCounts, Person
from rooms.room import Room
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
    new_room,
    reloaded,
    room_with_everyone,
    room_with_guests,
    room_without,
    with_deputies,
)

UNTIL = NOW + 60_000
BY_DORA = {"by": {"user_id": DORA.user_id, "nickname": DORA.nickname}}


def moderated_room(*, visibility: str = "public") -> Room:
    """A live with BERT on mic, CARL who applied, ANNA who is invited, and DORA, a deputy."""
    return replace(with_deputies(room_with_everyone(), DORA), visibility=visibility)


def deputy_event(person: Person, *, on: bool) -> tuple[str, object]:
    return ("deputy", {**person.public_profile(), "on": on})


def check_refused(room: Room, rule: Callable[[Room], object], error: type[QLiveError]) -> None:
    with pytest.raises(error):
        rule(room)
    assert (changed(room), room.events, room.sockets_to_close) == (set(), [], {})


# ---- naming and ending


def test_the_host_names_three_members_once_each() -> None:
    room = live_room(ANNA, BERT, CARL, DORA)
    for person in (BERT, ANNA, BERT, CARL):
        room.name_deputy(HOST.user_id, person)
    assert events_of(room) == [deputy_event(person, on=True) for person in (BERT, ANNA, CARL)]
    assert changed(room) == {"deputies", "revision"}
    room = reloaded(room)
    shown = room.snapshot(MemberCounts(), str)["deputies"]
    assert shown == [person.user_id for person in (BERT, ANNA, CARL)]
    assert len(shown) == MAX_DEPUTIES
    check_refused(room, lambda room: room.name_deputy(HOST.user_id, DORA), TooManyDeputies)


@pytest.mark.parametrize(
    ("actor", "person", "error"),
    [
        (BERT, BERT, NotHost),
        (DORA, BERT, NotHost),
        (HOST, HOST, InvalidParameter),
        (HOST, STRANGER, NotInRoom),
    ],
    ids=["the user", "a deputy", "the host", "a stranger"],
)
def test_only_the_host_names_a_deputy_and_only_a_member(
    actor: Person, person: Person, error: type[QLiveError]
) -> None:
    check_refused(moderated_room(), lambda room: room.name_deputy(actor.user_id, person), error)


def test_a_follower_becomes_a_deputy_from_outside_and_without_a_live() -> None:
    room = live_room()
    room.name_deputy(HOST.user_id, STRANGER, follows=True)
    assert events_of(room) == [deputy_event(STRANGER, on=True)]
    room.close("host")
    room = reloaded(room)
    room.name_deputy(HOST.user_id, DORA, follows=True)
    assert (room.deputies, room.events) == ((STRANGER.user_id, DORA.user_id), [])


def test_a_deputy_who_is_elsewhere_stays_one_through_the_lives_and_outside_of_them() -> None:
    room = room_without(moderated_room(), DORA)
    room.name_deputy(HOST.user_id, DORA)
    assert not changed(room)
    room.close("host")
    room = reloaded(room)
    check_refused(room, lambda room: room.name_deputy(HOST.user_id, BERT), NotInRoom)
    room.open(HOST, "epoch-2", "s", NOW)
    assert room.deputies == (DORA.user_id,)


@pytest.mark.parametrize("actor", [HOST, DORA, None], ids=["host", "deputy", "no one"])
def test_the_host_the_deputy_or_a_ban_ends_it_also_without_a_live(actor: Person | None) -> None:
    actor_id = actor and actor.user_id
    room = with_deputies(moderated_room(), CARL, DORA)
    room.end_deputy(DORA, actor_id)
    room.end_deputy(DORA, actor_id)
    assert room.deputies == (CARL.user_id,)
    assert (events_of(room), room.revision) == ([deputy_event(DORA, on=False)], 1)
    ended = with_deputies(new_room(), CARL, DORA)
    ended.end_deputy(DORA, actor_id)
    assert (ended.deputies, ended.revision, ended.events) == ((CARL.user_id,), 1, [])


@pytest.mark.parametrize(("actor", "is_present"), [(HOST, True), (None, True), (None, False)])
def test_a_deputy_who_is_banned_is_none_any_more(actor: Person | None, *, is_present: bool) -> None:
    room = moderated_room() if is_present else room_without(moderated_room(), DORA)
    room.ban(DORA, UNTIL, actor)
    assert (room.deputies, room.bans) == ((), {DORA.user_id: UNTIL})
    assert events_of(room) == [deputy_event(DORA, on=False)]


# ---- what a deputy may do


def test_a_deputy_refuses_an_application_and_the_event_says_who() -> None:
    room = moderated_room()
    room.note_invitation(HOST.user_id, CARL.user_id, UNTIL)
    room.leave_mic(DORA, CARL.user_id, removed_until=UNTIL)
    refused = {**CARL.public_profile(), "reason": "host", **BY_DORA}
    assert events_of(room) == [("micro_refuse", refused)]
    assert CARL.user_id not in room.applications
    assert room.needs_invitation_until == {}
    assert room.invited_by_message_until == {CARL.user_id: UNTIL}, "the host's"


def test_a_deputy_leaves_the_mic_like_any_guest_and_keeps_the_own_application() -> None:
    room = with_deputies(room_with_guests(BERT, watching=(CARL,)), BERT, CARL)
    room.leave_mic(BERT, BERT.user_id)
    assert events_of(room) == [("micro_leave", {**BERT.public_profile(), "reason": "left"})]
    room.apply(CARL, NOW)
    room.leave_mic(CARL, CARL.user_id)
    assert room.applications.keys() == {CARL.user_id}


def test_a_deputy_mutes_and_lifts_also_the_mute_of_the_host() -> None:
    room = moderated_room()
    room.mute(HOST, BERT.user_id, UNTIL)
    for user_id, until in ((BERT.user_id, 0), (STRANGER.user_id, UNTIL), (STRANGER.user_id, UNTIL)):
        room.mute(DORA, user_id, until, visited=room.epoch)
    assert events_of(room) == [
        ("mute", {"user_id": BERT.user_id, "until": UNTIL}),
        ("mute", {"user_id": BERT.user_id, "until": 0, **BY_DORA}),
        ("mute", {"user_id": STRANGER.user_id, "until": UNTIL, **BY_DORA}),
    ]


def test_a_deputy_puts_an_applicant_out_but_shortens_no_ban_of_the_host() -> None:
    room = moderated_room()
    assert room.ban(CARL, UNTIL, DORA) is False
    refused = {**CARL.public_profile(), "reason": "host", **BY_DORA}
    assert events_of(room) == [("micro_refuse", refused)]
    assert (room.bans, room.operator_bans) == ({CARL.user_id: UNTIL}, {})
    assert room.sockets_to_close == {CARL.user_id: True}
    for until, expected in ((NOW + 1, UNTIL), (UNTIL + 1, UNTIL + 1)):
        room.ban(CARL, until, DORA)
        assert room.bans == {CARL.user_id: expected}
    room.ban(CARL, NOW + 1, HOST)
    assert room.bans == {CARL.user_id: NOW + 1}


REFUSED_TO_A_DEPUTY: dict[str, Callable[[Room], object]] = {
    "a guest's seat": lambda room: room.leave_mic(DORA, BERT.user_id),
    "a mere invitation": lambda room: room.leave_mic(DORA, ANNA.user_id),
    "mute the host": lambda room: room.mute(DORA, HOST.user_id, UNTIL),
    "mute a deputy": lambda room: room.mute(DORA, KIM.user_id, UNTIL),
    "mute or unmute themselves": lambda room: room.mute(DORA, DORA.user_id, 0),
    "put the host out": lambda room: room.ban(HOST, UNTIL, DORA),
    "put a guest out": lambda room: room.ban(BERT, UNTIL, DORA),
    "put a deputy out": lambda room: room.ban(KIM, UNTIL, DORA),
    "lift a ban": lambda room: room.lift_ban(CARL.user_id, NOW, DORA.user_id),
    "invite by a message": lambda room: room.note_invitation(DORA.user_id, CARL.user_id, UNTIL),
    "take one back": lambda room: room.end_deputy(KIM, DORA.user_id),
}


@pytest.mark.parametrize("name", REFUSED_TO_A_DEPUTY)
def test_a_deputy_may_do_nothing_else_of_a_host(name: str) -> None:
    room = with_deputies(moderated_room(), DORA, KIM)
    check_refused(room, REFUSED_TO_A_DEPUTY[name], NotHost)


ALLOWED_TO_A_DEPUTY: dict[str, Callable[[Room], object]] = {
    "refuse": lambda room: room.leave_mic(DORA, CARL.user_id),
    "mute": lambda room: room.mute(DORA, CARL.user_id, UNTIL),
    "put out": lambda room: room.ban(CARL, UNTIL, DORA),
}


@pytest.mark.parametrize("name", ALLOWED_TO_A_DEPUTY)
def test_a_deputy_of_a_private_live_has_to_be_inside(name: str) -> None:
    rule = ALLOWED_TO_A_DEPUTY[name]
    for room in (moderated_room(visibility="private"), room_without(moderated_room(), DORA)):
        rule(room)
        assert changed(room)
    private = moderated_room(visibility="private")
    check_refused(room_without(private, DORA), rule, NotHost)
    elsewhere = {**private.members, DORA.user_id: replace(private.members[DORA.user_id], live_id=2)}
    check_refused(replace(reloaded(private), members=elsewhere), rule, NotHost)
