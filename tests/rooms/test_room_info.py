"""What the host alone may do, and what she sets: name and picture of the room, and mutes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.errors import InvalidParameter, QLiveError
from rooms.errors import (
    BannedByOperator,
    HostMustEnd,
    NotHost,
    NotInRoom,
    NotLive,
    TooManyMutes,
)
from rooms.inviting_room import MAX_MUTES
from rooms.members import MemberCounts, Person
from rooms.room import Room
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    HOST,
    NOW,
    STRANGER,
    changed,
    events_of,
    live_room,
    new_room,
    reloaded,
    room_with_everyone,
    with_deputies,
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
    room.update_info(HOST.user_id, str(b"Hometowns", "ascii"), str(COVER.encode(), "ascii"))
    assert not room.changed, "not even by another object of the same value"
    room.update_info(HOST.user_id, None, "https://pictures/other")
    assert events_of(room) == [
        ("room_info", {"room_name": "Hometowns", "room_image": "https://pictures/other"})
    ]


def test_cleared_the_room_shows_those_of_its_host() -> None:
    room = named_room()
    room.update_info(HOST.user_id, "", "")
    assert events_of(room) == [
        ("room_info", {"room_name": HOST.nickname, "room_image": HOST.face_url})
    ]


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


UNTIL = NOW + 60_000


def muted_room() -> Room:
    """A live whose host has muted BERT, and then everybody."""
    room = live_room(BERT, CARL)
    room.mute(HOST, BERT.user_id, UNTIL)
    room.set_mute_all(HOST.user_id, on=True)
    return reloaded(room)


def shown(room: Room) -> tuple[object, bool]:
    snapshot = room.snapshot(MemberCounts(), str)
    return snapshot["muted"], snapshot["mute_all"]


def test_a_mute_is_announced_once_and_is_in_the_snapshot() -> None:
    room = live_room(BERT)
    for _ in range(2):
        room.mute(HOST, BERT.user_id, UNTIL)
        room.set_mute_all(HOST.user_id, on=True)
    mute = {"user_id": BERT.user_id, "until": UNTIL}
    assert events_of(room) == [("mute", mute), ("mute_all", {"mute_all": True})]
    assert shown(room) == ([mute], True)
    assert changed(room) == {"muted", "mute_all"}


def test_the_host_lifts_a_mute() -> None:
    room = muted_room()
    for _ in range(2):
        room.mute(HOST, BERT.user_id, 0)
        room.set_mute_all(HOST.user_id, on=False)
    lifted = {"user_id": BERT.user_id, "until": 0}
    assert events_of(room) == [("mute", lifted), ("mute_all", {"mute_all": False})]
    assert shown(room) == ([], False)


def test_a_mute_ends_with_its_time_and_outlasts_leaving() -> None:
    room = muted_room()
    room.leave(BERT.user_id)
    room.expire(UNTIL - 1)
    assert room.muted == {BERT.user_id: UNTIL}
    room.expire(UNTIL)
    assert events_of(room) == [("mute", {"user_id": BERT.user_id, "until": 0})]


def test_mutes_end_with_the_live() -> None:
    room = muted_room()
    room.end(HOST.user_id)
    assert [type_ for type_, _ in events_of(room)] == ["live_end"]
    assert shown(room) == ([], False)
    assert changed(room) >= {"muted", "mute_all"}
    live_room().end(HOST.user_id)


def test_a_user_is_muted_who_is_or_was_in_this_live() -> None:
    room = live_room(BERT)
    for visited in ("", "another"):
        with pytest.raises(NotInRoom):
            room.mute(HOST, STRANGER.user_id, UNTIL, visited)
    room.mute(HOST, STRANGER.user_id, 0)
    assert not changed(room), "to lift a mute that there is not is no error"
    room.mute(HOST, STRANGER.user_id, UNTIL, room.epoch)
    room.mute(HOST, BERT.user_id, UNTIL)
    assert room.muted == {STRANGER.user_id: UNTIL, BERT.user_id: UNTIL}
    room.remove(BERT.user_id, "left")
    room = reloaded(room)
    room.mute(HOST, BERT.user_id, UNTIL + 1)
    assert room.muted[BERT.user_id] == UNTIL + 1, "who is muted already is known"


def test_a_full_list_of_mutes_refuses_but_the_host_replaces_a_mute_of_a_deputy() -> None:
    room = with_deputies(live_room(BERT, CARL, DORA), DORA)
    room.mute(DORA, CARL.user_id, UNTIL + 5)
    room.mute(DORA, BERT.user_id, UNTIL + 1)
    room.mute(HOST, BERT.user_id, UNTIL + 2)
    assert room.deputy_mutes == {CARL.user_id: UNTIL + 5}, "the host has made it hers"
    room.mute(DORA, BERT.user_id, UNTIL + 3)
    assert room.deputy_mutes == {CARL.user_id: UNTIL + 5}, "and it stays hers"
    for n in range(MAX_MUTES - 3):
        room.mute(HOST, f"{n}", UNTIL, room.epoch)
    room.mute(DORA, "x", UNTIL, room.epoch)
    room = reloaded(room)
    with pytest.raises(TooManyMutes):
        room.mute(DORA, "y", UNTIL, room.epoch)
    assert not changed(room)
    for user_id, replaced in (("y", "x"), ("z", CARL.user_id)):
        room.mute(HOST, user_id, UNTIL, room.epoch)
        assert events_of(room)[-2:] == [
            ("mute", {"user_id": replaced, "until": 0}),
            ("mute", {"user_id": user_id, "until": UNTIL}),
        ]
    with pytest.raises(TooManyMutes):
        room.mute(HOST, "a", UNTIL, room.epoch)
    assert (len(room.muted), room.deputy_mutes) == (MAX_MUTES, {})
    room.mute(HOST, "y", 0)
    room.mute(DORA, "a", UNTIL, room.epoch)
    room.end(HOST.user_id)
    assert (room.muted, room.deputy_mutes) == ({}, {})


# ---- bans that the host lifts


def test_the_host_lifts_her_own_ban_only() -> None:
    room = live_room(BERT, CARL)
    room.ban(BERT, UNTIL, HOST)
    room.ban(CARL, UNTIL)
    room = reloaded(room)
    with pytest.raises(BannedByOperator):
        room.lift_ban(CARL.user_id, NOW, HOST.user_id)
    assert not changed(room)
    for user in (BERT, STRANGER):
        room.lift_ban(user.user_id, NOW, HOST.user_id)
    assert changed(room) == {"bans"}
    room.lift_ban(CARL.user_id, UNTIL, HOST.user_id)
    assert room.bans == room.operator_bans == {}


def test_the_host_does_not_shorten_the_ban_of_an_operator() -> None:
    room = live_room(BERT)
    room.ban(BERT, UNTIL)
    room.ban(BERT, NOW + 1, HOST)
    assert room.bans == room.operator_bans == {BERT.user_id: UNTIL}
    room.ban(BERT, UNTIL - 1)  # another operator may
    assert room.bans == room.operator_bans == {BERT.user_id: UNTIL - 1}
    room.close("host")
    room = reloaded(room)
    room.open(HOST, "epoch-2", "stream", UNTIL)
    assert room.bans == room.operator_bans == {}


# ---- rights

REQUESTS: dict[str, Callable[[Room, Person], object]] = {
    "end": lambda room, by: room.end(by.user_id),
    "update_info": lambda room, by: room.update_info(by.user_id, "Mine"),
    "leave_mic": lambda room, by: room.leave_mic(by, CARL.user_id),
    "invite": lambda room, by: room.invite(by.user_id, ANNA, NOW),
    "lift_ban": lambda room, by: room.lift_ban(CARL.user_id, NOW, by.user_id),
    "ban": lambda room, by: room.ban(CARL, UNTIL, by),
    "mute": lambda room, by: room.mute(by, CARL.user_id, UNTIL),
    "set_mute_all": lambda room, by: room.set_mute_all(by.user_id, on=True),
    "note_invitation": lambda room, by: room.note_invitation(by.user_id, CARL.user_id, UNTIL),
}


def check_refused(
    room: Room, error: type[QLiveError], request: Callable[[Room, Person], object], by: Person
) -> None:
    with pytest.raises(error):
        request(room, by)
    assert (changed(room), room.sockets_to_close) == (set(), {})


@pytest.mark.parametrize("name", REQUESTS)
def test_only_the_host_may_do_it(name: str) -> None:
    for person in (BERT, STRANGER):
        for room in (room_with_everyone(), new_room()):
            check_refused(room, NotHost, REQUESTS[name], person)


@pytest.mark.parametrize("name", ["ban", "mute", "set_mute_all", "note_invitation", "invite"])
def test_the_host_may_do_it_during_the_live(name: str) -> None:
    check_refused(new_room(), NotLive, REQUESTS[name], HOST)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (lambda room, by: room.ban(by, UNTIL, by), InvalidParameter),
        (lambda room, by: room.mute(by, by.user_id, UNTIL), InvalidParameter),
        (lambda room, by: room.note_invitation(by.user_id, STRANGER.user_id, UNTIL), NotInRoom),
        (lambda room, by: room.leave(by.user_id), HostMustEnd),
    ],
)
def test_the_host_neither_leaves_removes_nor_mutes_herself_nor_invites_a_stranger_by_message(
    request_: Callable[[Room, Person], object], error: type[QLiveError]
) -> None:
    check_refused(room_with_everyone(), error, request_, HOST)
