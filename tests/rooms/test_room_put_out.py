"""The host puts somebody out, and they stay out for a while."""

import copy

import pytest

from rooms.people import Person
from rooms.refusals import BadParameter, NotHost, NotInRoom, NotLive, PutOut
from rooms.room import Room
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    DORA,
    HOST,
    NOW,
    STRANGER,
    after,
    away,
    live_room,
    new_room,
    place,
    said,
    seated,
)

UNTIL = NOW + 60_000


def full_room() -> Room:
    """BERT on mic, CARL applied, ANNA invited, DORA watching."""
    room = seated(BERT, watching=(CARL, ANNA, DORA))
    room.apply(CARL, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    return after(room)


def put_out(room: Room, person: Person, until: int = UNTIL) -> Room:
    room.put_out(HOST.user_id, person.user_id, until)
    return room


# ---- out


@pytest.mark.parametrize(
    ("person", "word"),
    [(BERT, "micro_leave"), (CARL, "micro_refuse"), (ANNA, "micro_refuse"), (DORA, None)],
    ids=["guest", "applicant", "invited", "viewer"],
)
def test_whatever_somebody_was_in_the_room_they_are_out_of_it(person: Person, word) -> None:
    room = put_out(full_room(), person)
    assert said(room) == ([(word, {**person.face(), "reason": "host"})] if word else [])
    assert (room.gone, room.roles, room.barred) == ({person.user_id}, {}, {person.user_id})
    assert room.absent == set()
    assert room.blocked == {person.user_id: UNTIL}
    assert f"blocked.{person.user_id}" in room.touched
    room = after(room)
    assert room.role_of(person.user_id) is None
    assert person.user_id not in room.applications
    assert room.seat_of(person.user_id) is None


def test_a_guest_who_is_put_out_is_to_push_no_more() -> None:
    assert put_out(full_room(), BERT).dropped == {"stream-bert"}
    assert put_out(full_room(), CARL).dropped == set()


def test_somebody_who_is_away_is_put_out_as_well() -> None:
    room = put_out(away(full_room(), BERT), BERT)
    assert [word for word, _ in said(room)] == ["micro_leave"]
    assert room.gone == {BERT.user_id}


def test_somebody_who_is_not_here_is_kept_out_before_they_come() -> None:
    room = put_out(live_room(), STRANGER)
    assert said(room) == []
    assert (room.gone, room.absent, room.barred) == (
        set(),
        {STRANGER.user_id},
        {STRANGER.user_id},
    )
    assert room.touched == {f"blocked.{STRANGER.user_id}"}
    assert room.changed


def test_the_place_of_somebody_in_another_room_is_left_alone() -> None:
    room = live_room()
    room.members[BERT.user_id] = place(BERT, live_id=2)
    put_out(room, BERT)
    assert (room.gone, room.absent) == (set(), {BERT.user_id})
    assert room.blocked == {BERT.user_id: UNTIL}


def test_one_who_leaves_is_not_barred() -> None:
    room = full_room()
    room.leave(BERT.user_id)
    assert (room.barred, room.blocked) == (set(), {})


# ---- refusals


@pytest.mark.parametrize(
    ("host", "person", "why"),
    [
        (BERT, CARL, NotHost),
        (BERT, BERT, NotHost),
        (STRANGER, CARL, NotHost),
        (BERT, HOST, NotHost),
        (HOST, HOST, BadParameter),
    ],
)
def test_only_the_host_puts_out_and_only_others(host: Person, person: Person, why) -> None:
    room = full_room()
    before = copy.deepcopy(room)
    with pytest.raises(why):
        room.put_out(host.user_id, person.user_id, UNTIL)
    assert room == before
    assert (room.barred, room.absent) == (set(), set())


@pytest.mark.parametrize(
    ("host", "person", "why"),
    [(HOST, BERT, NotLive), (BERT, CARL, NotHost), (HOST, HOST, BadParameter)],
)
def test_nobody_is_put_out_of_a_room_that_is_not_live(host: Person, person: Person, why) -> None:
    room = new_room()
    with pytest.raises(why):
        room.put_out(host.user_id, person.user_id, UNTIL)
    assert not room.changed
    assert room.blocked == {}


# ---- and stays out


def test_nobody_comes_in_before_the_time_is_over_and_everybody_then() -> None:
    room = after(put_out(full_room(), BERT))
    for now in (NOW, UNTIL - 1):
        assert room.keeps_out(BERT.user_id, now)
        with pytest.raises(PutOut):
            room.enter(BERT, now)
        assert not room.changed
    assert not room.keeps_out(BERT.user_id, UNTIL)
    assert room.enter(BERT, UNTIL) == "viewer"


def test_nobody_else_is_kept_out() -> None:
    room = after(put_out(full_room(), BERT))
    assert not room.keeps_out(CARL.user_id, NOW)
    assert room.enter(CARL, NOW) == "applied"
    assert room.enter(STRANGER, NOW) == "viewer"


def test_a_place_that_was_written_meanwhile_does_not_let_one_in() -> None:
    room = after(put_out(live_room(), BERT))
    room.members[BERT.user_id] = place(BERT)
    with pytest.raises(PutOut):
        room.enter(BERT, NOW)


def test_whoever_is_out_can_neither_apply_nor_be_invited_nor_seated() -> None:
    room = after(put_out(full_room(), BERT))
    for ask in (
        lambda: room.apply(BERT, NOW, 600),
        lambda: room.invite(HOST.user_id, BERT, NOW, 60),
        lambda: room.accept(BERT, "open", "s", "u"),
    ):
        with pytest.raises(NotInRoom):
            ask()
    assert not room.changed


def test_the_host_may_change_their_mind_about_the_time() -> None:
    room = after(put_out(full_room(), BERT))
    room = after(put_out(room, BERT, UNTIL + 5))
    assert room.keeps_out(BERT.user_id, UNTIL)
    room = after(put_out(room, BERT, NOW))
    assert room.enter(BERT, NOW) == "viewer"


def test_being_put_out_outlives_the_live() -> None:
    room = put_out(after(put_out(live_room(BERT, CARL), BERT)), CARL, NOW + 1_000)
    room = after(room)
    room.close("host")
    assert room.blocked == {BERT.user_id: UNTIL, CARL.user_id: NOW + 1_000}
    room = after(room)
    room.open(HOST, "next", "stream", NOW + 999)
    assert room.blocked == {BERT.user_id: UNTIL, CARL.user_id: NOW + 1_000}
    room = after(room)
    with pytest.raises(PutOut):
        room.enter(BERT, NOW + 999)


def test_a_new_live_forgets_those_whose_time_is_over() -> None:
    room = put_out(after(put_out(live_room(BERT, CARL), BERT)), CARL, NOW + 1_000)
    room = after(room)
    room.close("host")
    room = after(room)
    room.open(HOST, "next", "stream", NOW + 1_000)
    assert room.blocked == {BERT.user_id: UNTIL}
    assert "blocked" in room.touched


# ---- by the operators, and back


def test_the_operators_put_somebody_out_without_the_host() -> None:
    room = full_room()
    assert room.shut_out(BERT.user_id, UNTIL, "banned") is True
    assert said(room) == [("micro_leave", {**BERT.face(), "reason": "banned"})]
    assert (room.barred, room.kept_out(NOW)) == ({BERT.user_id}, {BERT.user_id: UNTIL})
    assert after(room).keeps_out(BERT.user_id, NOW)


def test_the_host_cannot_be_put_out_by_anybody() -> None:
    room = full_room()
    with pytest.raises(BadParameter):
        room.shut_out(HOST.user_id, UNTIL, "banned")
    assert not room.changed


def test_whoever_is_let_in_again_may_enter_at_once() -> None:
    room = after(put_out(full_room(), DORA))
    room.let_in(DORA.user_id)
    assert room.touched == {f"blocked.{DORA.user_id}"}
    room = after(room)
    assert (room.blocked, room.enter(DORA, NOW)) == ({}, "viewer")


def test_letting_in_somebody_who_was_not_out_changes_nothing() -> None:
    room = full_room()
    room.let_in(BERT.user_id)
    assert not room.changed


def test_whose_time_is_over_is_kept_out_no_more() -> None:
    room = after(put_out(full_room(), DORA))
    assert (room.kept_out(UNTIL - 1), room.kept_out(UNTIL)) == ({DORA.user_id: UNTIL}, {})
