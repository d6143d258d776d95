"""Profile and gift events, event numbers and payloads."""

from dataclasses import replace

import pytest

from rooms.events import GiftEvent, NumberedEvent
from rooms.members import Person
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    EPOCH,
    HOST,
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


def renamed(person: Person) -> Person:
    return replace(person, nickname="new", face_url="https://faces/new", age=99, area="990000")


def gift(sender: Person, receiver: Person) -> GiftEvent:
    return {
        "from": sender.face(),
        "to": receiver.face(),
        "gift": {"id": 1, "name": "rose", "image": "i", "effect": "e"},
        "num": 2,
        "gold": 20,
        "request_id": "r",
    }


# ---- profiles


def test_a_new_host_name_is_published_and_renames_the_room() -> None:
    room = live_room()
    room.update_profile(renamed(HOST))
    assert (room.name, room.image) == ("new", "https://faces/new")
    assert room.touched == {"owner"}
    assert events_of(room) == [("profile", {**renamed(HOST).face()})]


@pytest.mark.parametrize(("guest", "seat"), [(BERT, "male"), (ANNA, "female")])
def test_a_new_guest_name_is_published(guest: Person, seat: str) -> None:
    room = room_with_guests(BERT, ANNA)
    room.update_profile(renamed(guest))
    changed = replace(guest, nickname="new", face_url="https://faces/new")
    assert getattr(room, seat).person == changed
    assert getattr(room, seat).stream == f"stream-{guest.nickname}"
    assert room.touched == {seat}
    assert events_of(room) == [("profile", {**changed.face()})]


def test_a_new_applicant_name_is_published() -> None:
    room = room_with_applicants(BERT)
    before = room.applications[BERT.user_id]
    room.update_profile(replace(BERT, nickname="new"))
    assert room.applications[BERT.user_id] == replace(before, person=replace(BERT, nickname="new"))
    assert events_of(room) == [("profile", {**BERT.face(), "nickname": "new"})]


def test_a_new_gender_is_not_shown_before_reentry() -> None:
    room = room_with_guests(BERT)
    room.update_profile(replace(BERT, nickname="new", gender=2))
    assert room.male is not None
    assert room.male.person.gender == 1
    assert room.female is None


@pytest.mark.parametrize("person", [HOST, BERT, replace(BERT, age=99)])
def test_an_invisible_profile_change_is_not_published(person: Person) -> None:
    room = room_with_guests(BERT)
    room.update_profile(person)
    assert not room.changed


@pytest.mark.parametrize("person", [CARL, STRANGER])
def test_profiles_of_viewers_and_strangers_are_not_published(person: Person) -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    room.update_profile(renamed(person))
    assert not room.changed


def test_a_profile_change_in_an_ended_room_is_not_published() -> None:
    room = new_room()
    room.update_profile(renamed(HOST))
    assert not room.changed


# ---- gifts


@pytest.mark.parametrize(("sender", "receiver"), [(CARL, HOST), (HOST, BERT), (BERT, ANNA)])
def test_a_gift_between_members_is_published(sender: Person, receiver: Person) -> None:
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    assert room.has(sender.user_id, receiver.user_id)
    room.add_gift(gift(sender, receiver))
    assert events_of(room) == [("gift", gift(sender, receiver))]
    assert room.touched == set()


def test_several_gifts_are_published_in_order() -> None:
    room = room_with_guests(BERT, ANNA)
    pairs = [(BERT, HOST), (ANNA, HOST), (BERT, ANNA)]
    for sender, receiver in pairs:
        room.add_gift(gift(sender, receiver))
    assert events_of(room) == [("gift", gift(*pair)) for pair in pairs]
    assert [event.seq for event in room.numbered(NOW)] == [room.version + n for n in (1, 2, 3)]


@pytest.mark.parametrize(("sender", "receiver"), [(STRANGER, HOST), (HOST, STRANGER)])
def test_a_user_from_elsewhere_is_not_a_member(sender: Person, receiver: Person) -> None:
    assert not live_room().has(sender.user_id, receiver.user_id)


def test_membership_begins_with_entry_and_ends_with_departure() -> None:
    room = live_room()
    assert room.has(HOST.user_id)
    room.enter(BERT, NOW)
    assert room.has(BERT.user_id, HOST.user_id)
    room = reloaded(room)
    room.leave(BERT.user_id)
    assert not reloaded(room).has(BERT.user_id, HOST.user_id)


def test_an_ended_live_has_no_members() -> None:
    room = live_room(BERT)
    room.close("host")
    assert not room.has(BERT.user_id)
    assert not reloaded(room).has(BERT.user_id, HOST.user_id)


def test_a_membership_of_an_earlier_live_does_not_count() -> None:
    room = live_room()
    room.members[BERT.user_id] = membership(BERT, epoch="older")
    assert not room.has(BERT.user_id, HOST.user_id)


# ---- chat group


def test_a_new_chat_group_is_published_while_live() -> None:
    room = live_room()
    assert room.change_group("qlive1", "qlive_new") is True
    assert room.group_id == "qlive_new"
    assert room.touched == {"group_id"}
    assert events_of(room) == [("group", {"group_id": "qlive_new"})]


def test_a_room_that_is_not_live_gets_a_new_chat_group_without_an_event() -> None:
    room = new_room()
    assert room.change_group("qlive1", "qlive_new") is True
    assert (room.group_id, room.touched, room.events) == ("qlive_new", {"group_id"}, [])


def test_a_late_replacement_of_an_earlier_chat_group_changes_nothing() -> None:
    room = live_room()
    assert room.change_group("older", "qlive_new") is False
    assert (room.group_id, room.changed) == ("qlive1", False)


def test_the_write_of_a_new_chat_group_is_guarded_with_the_loaded_one() -> None:
    room = live_room()
    room.change_group("qlive1", "qlive_new")
    assert room.loaded_group == "qlive1"


# ---- event numbers and payloads


def test_events_are_numbered_from_the_version_loaded() -> None:
    room = room_with_applicants(BERT, CARL)
    room.expire(NOW + 600_000)
    room.apply(BERT, NOW + 600_000, 600)
    first, second = room.numbered(NOW + 5)
    data = {**BERT.face(), "reason": "expired"}
    assert first == NumberedEvent(EPOCH, 3, NOW + 5, "micro_refuse", data)
    assert (second.seq, second.type) == (4, "micro_apply")
    assert room.applications[BERT.user_id].n == 4


def test_the_first_event_of_a_live_is_number_one() -> None:
    room = live_room(BERT)
    room.apply(BERT, NOW, 600)
    assert [event.seq for event in room.numbered(NOW)] == [1]


def test_a_change_without_events_takes_no_number() -> None:
    room = live_room()
    room.enter(BERT, NOW)
    assert room.numbered(NOW) == []
