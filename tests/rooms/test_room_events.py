"""Snapshots, profile, gift and group events, and event numbers."""

from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from rooms.events import EVENT_PAYLOADS, GiftEvent, NumberedEvent
from rooms.members import MemberCounts, Person
from rooms.state import Snapshot
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    EPOCH,
    HOST,
    NOW,
    STRANGER,
    changed,
    events_of,
    live_room,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_guests,
)
from tests.support.room_screen import Screen


def renamed(person: Person) -> Person:
    return replace(person, nickname="new", face_url="https://faces/new", age=99, area="990000")


def gift(sender: Person, receiver: Person) -> GiftEvent:
    return {
        "from": sender.public_profile(),
        "to": receiver.public_profile(),
        "gift": {"id": 1, "name": "rose", "image": "i", "effect": "e"},
        "num": 2,
        "gold": 20,
        "request_id": "r",
    }


def play_url(stream: str) -> str:
    return f"rtmp://play/{stream}?sign"


def seat_view(person: Person) -> dict[str, Any]:
    details = {"area": person.area, "age": person.age, "away": False}
    return {
        **person.public_profile(),
        **details,
        "play_url": f"rtmp://play/stream-{person.nickname}?sign",
    }


# ---- snapshots


def test_a_snapshot_shows_the_room_with_its_guests() -> None:
    counts = MemberCounts(men_applying=1, men=2, women_applying=3, women=4, others=5)
    room = room_with_guests(BERT)
    expected = {
        "status": "live",
        "room_name": "hong",
        "room_image": "https://faces/host",
        "group_id": "qlive1",
        "owner": seat_view(HOST) | {"play_url": "rtmp://play/stream-host?sign"},
        "male": seat_view(BERT),
        "female": None,
        "applicants": [],
        "audience_count": 12,
        "num_list": [1, 2, 3, 4],
    }
    view = room.snapshot(counts, play_url)
    assert view == {**view, **expected}, "a new field needs no line here"
    covered = replace(room_with_guests(ANNA), cover="https://cover")
    view = covered.snapshot(counts, play_url)
    assert (view["male"], view["female"]) == (None, seat_view(ANNA))
    assert view["room_image"] == "https://cover"


def test_only_events_without_a_rule_in_clients_name_fields_of_the_snapshot() -> None:
    """Clients replace these fields, also for an event that they do not know.

    The rule of `visibility` does that as well, and changes the URLs besides.
    """
    shown = get_type_hints(Snapshot).keys()
    naming = {name for name, data in EVENT_PAYLOADS.items() if get_type_hints(data).keys() & shown}
    assert "group" in naming
    assert [name for name in naming if hasattr(Screen, f"_{name}")] == ["visibility"]


def test_applicants_are_in_order_of_first_application_or_invitation() -> None:
    room = live_room(BERT, CARL, ANNA, DORA)
    room.invite(HOST.user_id, CARL, NOW)
    room.apply(BERT, NOW)
    room.apply(ANNA, NOW)
    room.apply(CARL, NOW + 9)
    room.invite(HOST.user_id, ANNA, NOW)
    room.invite(HOST.user_id, DORA, NOW)
    room.applications = dict(reversed(room.applications.items()))
    keys = ("applied_at", "invited", "expires_at")
    expected = [
        (CARL, (NOW + 9, True, NOW + 60_000)),
        (BERT, (NOW, False, NOW + 600_000)),
        (ANNA, (NOW, True, NOW + 60_000)),
        (DORA, (None, True, NOW + 60_000)),
    ]
    assert room.snapshot(MemberCounts(), play_url)["applicants"] == [
        {**person.public_profile(), **dict(zip(keys, values, strict=True))}
        for person, values in expected
    ]


def test_the_snapshot_of_an_ended_live_is_empty() -> None:
    room = room_with_applicants(BERT)
    room.close("host")
    for ended in (new_room(), reloaded(room)):
        view = ended.snapshot(MemberCounts(), play_url)
        assert (view["status"], view["applicants"], view["male"]) == ("ended", [], None)
        assert (view["audience_count"], view["num_list"]) == (0, [0] * 4)


# ---- profiles


@pytest.mark.parametrize("person", [HOST, BERT, ANNA, CARL])
@pytest.mark.parametrize("new", [{"nickname": "new"}, {"face_url": "https://faces/new"}])
def test_a_new_name_or_face_of_a_visible_user_is_published(
    person: Person, new: dict[str, Any]
) -> None:
    """A new gender, age or area is shown after the next entry only."""
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW)
    room = reloaded(room)
    before, shown = room.places[person.user_id], replace(person, **new)
    room.update_profile(replace(shown, gender=3 - person.gender, age=99, area="990000"))
    assert room.places == {**room.loaded.places, person.user_id: replace(before, person=shown)}
    assert len(changed(room)) == 1
    assert events_of(room) == [("profile", {**shown.public_profile()})]
    host = shown if person is HOST else HOST
    assert (room.name, room.image) == (host.nickname, host.face_url)


@pytest.mark.parametrize(
    "person", [HOST, BERT, replace(BERT, age=99), renamed(CARL), renamed(STRANGER)]
)
def test_an_invisible_profile_change_is_not_published(person: Person) -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    room.update_profile(person)
    assert not changed(room)


# ---- gifts and chat groups


def test_gifts_are_published_in_order() -> None:
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    pairs = [(BERT, HOST), (CARL, HOST), (BERT, ANNA)]
    for sender, receiver in pairs:
        assert room.has(sender.user_id, receiver.user_id)
        room.add_gift(gift(sender, receiver), 5)
    assert events_of(room) == [("gift", gift(*pair)) for pair in pairs]
    assert [event.seq for event in room.numbered(NOW)] == [room.version + n for n in (1, 2, 3)]
    assert changed(room) == {"income"}
    assert room.income == 10, "of the two that the host got"


@pytest.mark.parametrize("live", [True, False])
def test_a_new_chat_group_is_published_while_live(*, live: bool) -> None:
    room = live_room() if live else new_room()
    assert room.change_group("older", "qlive_new") is False, "a late replacement"
    assert (room.group_id, changed(room)) == ("qlive1", set())
    assert room.change_group("qlive1", "qlive_new") is True
    assert (room.group_id, changed(room)) == ("qlive_new", {"group_id"})
    assert events_of(room) == ([("group", {"group_id": "qlive_new"})] if live else [])
    assert room.loaded.group_id == "qlive1", "the write is guarded with it"


# ---- event numbers


def test_events_are_numbered_from_the_version_loaded() -> None:
    room = room_with_applicants(BERT, CARL)
    room.expire(NOW + 600_000)
    room.apply(BERT, NOW + 600_000)
    first, second = room.numbered(NOW + 5)
    data = {**BERT.public_profile(), "reason": "expired"}
    assert first == NumberedEvent(EPOCH, 3, NOW + 5, "micro_refuse", data)
    assert (second.seq, second.type) == (4, "micro_apply")
    assert room.applications[BERT.user_id].position == 4
