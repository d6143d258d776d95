"""What a room hears besides: profiles and gifts; and how what it says is numbered."""

from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from rooms.events import VOCABULARY, Gift, Numbered
from rooms.people import Person
from rooms.room import Room
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    DORA,
    EPOCH,
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


def renamed(person: Person) -> Person:
    return replace(person, nickname="new", face_url="https://faces/new", age=99, area="990000")


def gift(sender: Person, receiver: Person) -> Gift:
    return {
        "from": sender.face(),
        "to": receiver.face(),
        "gift": {"id": 1, "name": "rose", "image": "i", "effect": "e"},
        "num": 2,
        "gold": 20,
        "request_id": "r",
    }


# ---- profiles


def test_the_hosts_new_name_is_heard_and_renames_the_room() -> None:
    room = live_room()
    room.update_profile(renamed(HOST))
    assert (room.name, room.image) == ("new", "https://faces/new")
    assert room.touched == {"owner"}
    assert said(room) == [("profile", {**renamed(HOST).face()})]


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_a_guests_new_name_is_heard(guest: Person, seat: str) -> None:
    room = seated(BERT, ANNA)
    room.update_profile(renamed(guest))
    changed = replace(guest, nickname="new", face_url="https://faces/new")
    assert getattr(room, seat).person == changed
    assert getattr(room, seat).stream == f"stream-{guest.nickname}"
    assert room.touched == {seat}
    assert said(room) == [("profile", {**changed.face()})]


def test_an_applicants_new_name_is_heard() -> None:
    room = applied(BERT)
    before = room.applications[BERT.user_id]
    room.update_profile(replace(BERT, nickname="new"))
    assert room.applications[BERT.user_id] == replace(before, person=replace(BERT, nickname="new"))
    assert said(room) == [("profile", {**BERT.face(), "nickname": "new"})]


def test_a_new_gender_is_not_shown_before_one_comes_in_again() -> None:
    room = seated(BERT)
    room.update_profile(replace(BERT, nickname="new", gender=2))
    assert room.male is not None
    assert room.male.person.gender == 1
    assert room.female is None


@pytest.mark.parametrize("person", [HOST, BERT, replace(BERT, age=99)])
def test_what_nobody_can_see_is_not_told(person: Person) -> None:
    room = seated(BERT)
    room.update_profile(person)
    assert not room.changed


@pytest.mark.parametrize("person", [CARL, STRANGER])
def test_viewers_and_strangers_are_not_visible(person: Person) -> None:
    room = seated(BERT, watching=(CARL,))
    room.update_profile(renamed(person))
    assert not room.changed


def test_a_room_that_is_not_live_hears_of_nobody() -> None:
    room = new_room()
    room.update_profile(renamed(HOST))
    assert not room.changed


# ---- gifts


@pytest.mark.parametrize(("sender", "receiver"), [(CARL, HOST), (HOST, BERT), (BERT, ANNA)])
def test_a_gift_between_people_of_the_room_is_heard(sender: Person, receiver: Person) -> None:
    room = seated(BERT, ANNA, watching=(CARL,))
    assert room.has(sender.user_id, receiver.user_id)
    room.hear_gift(gift(sender, receiver))
    assert said(room) == [("gift", gift(sender, receiver))]
    assert room.touched == set()


def test_several_gifts_are_heard_in_order() -> None:
    room = seated(BERT, ANNA)
    pairs = [(BERT, HOST), (ANNA, HOST), (BERT, ANNA)]
    for sender, receiver in pairs:
        room.hear_gift(gift(sender, receiver))
    assert said(room) == [("gift", gift(*pair)) for pair in pairs]
    assert [event.seq for event in room.numbered(NOW)] == [room.version + n for n in (1, 2, 3)]


@pytest.mark.parametrize(("sender", "receiver"), [(STRANGER, HOST), (HOST, STRANGER)])
def test_a_room_has_nobody_from_elsewhere(sender: Person, receiver: Person) -> None:
    assert not live_room().has(sender.user_id, receiver.user_id)


def test_a_room_has_whoever_came_in_and_not_whoever_left() -> None:
    room = live_room()
    assert room.has(HOST.user_id)
    room.enter(BERT, NOW)
    assert room.has(BERT.user_id, HOST.user_id)
    room = after(room)
    room.leave(BERT.user_id)
    assert not after(room).has(BERT.user_id, HOST.user_id)


def test_a_room_has_nobody_after_the_end() -> None:
    room = live_room(BERT)
    room.close("host")
    assert not room.has(BERT.user_id)
    assert not after(room).has(BERT.user_id, HOST.user_id)


def test_a_room_has_nobody_of_an_older_life() -> None:
    room = live_room()
    room.members[BERT.user_id] = place(BERT, epoch="older")
    assert not room.has(BERT.user_id, HOST.user_id)


# ---- numbers


def test_events_are_numbered_from_the_version_loaded() -> None:
    room = applied(BERT, CARL)
    room.expire(NOW + 600_000)
    room.apply(BERT, NOW + 600_000, 600)
    first, second = room.numbered(NOW + 5)
    data = {**BERT.face(), "reason": "expired"}
    assert first == Numbered(EPOCH, 3, NOW + 5, "micro_refuse", data)
    assert (second.seq, second.type) == (4, "micro_apply")
    assert room.applications[BERT.user_id].n == 4


def test_the_first_event_of_a_life_is_number_one() -> None:
    room = live_room(BERT)
    room.apply(BERT, NOW, 600)
    assert [event.seq for event in room.numbered(NOW)] == [1]


def test_a_change_that_says_nothing_takes_no_number() -> None:
    room = live_room()
    room.enter(BERT, NOW)
    assert room.numbered(NOW) == []


def every_event() -> list[tuple[str, Any]]:
    heard: list[tuple[str, Any]] = []

    def hear(room: Room) -> Room:
        heard.extend(said(room))
        return after(room)

    room = live_room(BERT, ANNA, DORA)
    room.apply(BERT, NOW, 600)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    room.accept(BERT, "applied", "s", "u")
    room.refuse(ANNA.user_id)
    room.update_profile(renamed(BERT))
    room.hear_gift(gift(DORA, BERT))
    for person in (BERT, HOST):
        room = away(hear(room), person)
        room.miss(person.user_id, NOW + 3_000, PATIENCE, since=NOW, streams=False)
    room = hear(room)
    room.come_back(HOST.user_id)
    room.come_back(BERT.user_id)
    room.leave_micro(BERT.user_id, BERT.user_id)
    room.close("host")
    hear(room)
    return heard


def test_every_event_carries_exactly_what_the_vocabulary_says() -> None:
    heard = every_event()
    assert {word for word, _ in heard} == VOCABULARY.keys()
    for word, data in heard:
        assert data.keys() == get_type_hints(VOCABULARY[word]).keys()
