from dataclasses import replace

import pytest

from rooms.errors import NotHost
from rooms.room import Room
from tests.support.room_builders import (
    BERT,
    HOST,
    changed,
    events_of,
    live_room,
    new_room,
    reloaded,
)

COVER = "https://pictures/cover"


def named_room() -> Room:
    room = live_room(BERT)
    room.update_info(HOST.user_id, "Hometowns", COVER)
    return reloaded(room)


def test_name_and_picture_replace_those_of_the_host() -> None:
    room = live_room(BERT)
    room.update_info(HOST.user_id, "Hometowns", COVER)
    assert (room.name, room.image) == ("Hometowns", COVER)
    assert events_of(room) == [("room_info", {"room_name": "Hometowns", "room_image": COVER})]
    assert changed(room) == {"title", "cover"}


def test_one_of_them_changes_alone_and_a_repetition_changes_nothing() -> None:
    room = named_room()
    room.update_info(HOST.user_id, None, "https://pictures/other")
    room.update_info(HOST.user_id, "Hometowns", None)
    assert events_of(room) == [
        ("room_info", {"room_name": "Hometowns", "room_image": "https://pictures/other"})
    ]


def test_cleared_the_room_shows_those_of_its_host() -> None:
    room = named_room()
    room.update_info(HOST.user_id, "", "")
    assert events_of(room) == [
        ("room_info", {"room_name": HOST.nickname, "room_image": HOST.face_url})
    ]


def test_only_the_host_changes_them() -> None:
    room = live_room(BERT)
    with pytest.raises(NotHost):
        room.update_info(BERT.user_id, "Mine", None)
    assert not changed(room)


def test_a_room_that_is_not_live_changes_without_an_event() -> None:
    room = new_room()
    room.update_info(HOST.user_id, "Hometowns", None)
    assert (room.name, room.events) == ("Hometowns", [])


def test_a_profile_of_the_host_does_not_rename_such_a_room() -> None:
    room = named_room()
    room.update_profile(replace(HOST, nickname="hui"))
    assert events_of(room)[1:] == [("room_info", {"room_name": "Hometowns", "room_image": COVER})]


def test_a_new_face_of_the_host_does_not_replace_the_same_cover() -> None:
    room = live_room(BERT)
    room.update_info(HOST.user_id, cover=HOST.face_url)
    room = reloaded(room)
    room.update_profile(replace(HOST, face_url="https://faces/new"))
    info = {"room_name": HOST.nickname, "room_image": HOST.face_url}
    assert events_of(room)[1:] == [("room_info", info)]
