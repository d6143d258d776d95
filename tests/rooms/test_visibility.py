"""Private and public lives, and entering them."""

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import TryAgain
from rooms.errors import (
    FollowersOnly,
    InvitationInvalid,
    InvitationRequired,
    NotHost,
    NotLive,
    RemovedFromRoom,
    RoomFull,
)
from rooms.events import Visibility
from rooms.members import MemberCounts
from rooms.room import Room
from rooms.tickets import Ticket
from tests.support.room_builders import (
    BERT,
    CARL,
    DORA,
    HOST,
    KIM,
    NOW,
    changed,
    events_of,
    live_room,
    new_room,
    reloaded,
    room_with_guests,
)
from tests.support.room_screen import comparable, fold

SOON = NOW + 60_000
LINK = Ticket("t1", "link", HOST.user_id, SOON, 1, uses=2)


def play_url(stream: str) -> str:
    return f"https://play/{stream}"


def show(
    room: Room, visibility: Visibility, by: str = HOST.user_id, group_id: str = "new-group"
) -> None:
    room.set_visibility(by, visibility, group_id, lambda user: f"new-{user}", play_url)


def renew(room: Room, known: Room) -> None:
    """Renew the streams and the group that someone knows who has left `known`."""
    room.renew_streams([known.owner.stream], lambda _user: "newer", play_url)
    room.renew_group([known.group_id], "third-group")


def private_room(*viewers: Any, ticket: Ticket = LINK) -> Room:
    room = live_room(*viewers)
    show(room, "private")
    room.issue_ticket(ticket)
    return reloaded(room)


def test_a_live_that_becomes_private_gets_a_new_group_and_new_streams() -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    before = room.snapshot(MemberCounts(), play_url)
    show(room, "private")
    urls = {"owner": play_url("new-10000000"), "male": play_url("new-10000001"), "female": None}
    by = {"user_id": HOST.user_id, "nickname": HOST.nickname}
    assert events_of(room) == [
        ("group", {"group_id": "new-group"}),
        ("visibility", {"visibility": "private", "by": by, "play_urls": urls}),
    ]
    assert room.streams_to_drop == {"stream-host": "", "stream-bert": ""}
    assert room.groups_to_destroy == ["qlive1"]
    assert room.has(HOST.user_id, BERT.user_id, CARL.user_id), "members stay"
    after = room.snapshot(MemberCounts(), play_url)
    assert after["visibility"] == "private"
    assert fold(before, events_of(room)) == comparable(after)


def test_a_live_that_becomes_public_gets_a_new_group_and_keeps_its_streams() -> None:
    room = private_room()
    stream = room.owner.stream
    room.set_visibility(HOST.user_id, "public", "third-group", str, play_url)
    assert [type_ for type_, _ in events_of(room)] == ["group", "visibility"]
    assert "play_urls" not in events_of(room)[1][1]
    assert (room.owner.stream, room.streams_to_drop) == (stream, {})
    assert room.groups_to_destroy == ["new-group"]


def test_a_live_for_followers_keeps_group_and_streams_of_a_public_one_and_its_members() -> None:
    room = room_with_guests(BERT, watching=(CARL,))
    by = {"user_id": HOST.user_id, "nickname": HOST.nickname}
    for visibility in ("followers", "public"):
        show(room, visibility, group_id="")
        assert events_of(room) == [("visibility", {"visibility": visibility, "by": by})]
        assert changed(room) == {"visibility"}
        assert (room.streams_to_drop, room.groups_to_destroy) == ({}, [])
        assert room.has(BERT.user_id, CARL.user_id)
        room = reloaded(room)


def test_a_live_that_is_private_no_longer_is_new_to_followers_as_to_anybody() -> None:
    for visibility in ("followers", "public"):
        room = private_room()
        with pytest.raises(TryAgain):
            show(room, visibility, group_id="")
        assert not changed(room)
        show(room, visibility, group_id="third-group")
        assert [type_ for type_, _ in events_of(room)] == ["group", "visibility"]
        assert room.public_since == room.version + 2
    show(room, "private")
    assert room.public_since == room.version + 2, "the private time has not ended"


@pytest.mark.parametrize(
    "depart",
    [
        lambda room: room.leave(BERT.user_id),
        lambda room: room.ban(BERT, SOON),
        lambda room: room.remove(BERT.user_id, "offline"),
    ],
    ids=["leaves", "is banned", "is lost"],
)
def test_every_departure_is_noted_and_from_a_private_live_guarded(
    depart: Callable[[Room], object],
) -> None:
    for room, is_private in ((private_room(BERT), True), (live_room(BERT), False)):
        room.leave(CARL.user_id)
        assert not room.has_departures, "no member has left"
        before = room.revision
        depart(room)
        assert room.has_departures
        assert (room.revision > before) == is_private, "the write is guarded by the room"


def test_a_private_live_is_renewed_once_for_those_who_knew_the_same() -> None:
    known = room = reloaded(private_room(BERT))
    room = reloaded(room)
    renew(room, known)
    urls = {"owner": play_url("newer"), "male": None, "female": None}
    assert events_of(room) == [
        ("visibility", {"visibility": "private", "play_urls": urls}),
        ("group", {"group_id": "third-group"}),
    ]
    assert room.streams_to_drop == {known.owner.stream: ""}
    assert room.groups_to_destroy == [known.group_id]
    room = reloaded(room)
    renew(room, known)
    assert not changed(room)
    known = room
    room = reloaded(room)
    show(room, "public")
    room = reloaded(room)
    renew(room, known)
    assert not changed(room), "it is public by then"


def test_the_same_visibility_changes_nothing_and_only_the_host_of_a_live_changes_it() -> None:
    room = live_room(BERT)
    show(room, "public")
    with pytest.raises(NotHost):
        show(room, "private", BERT.user_id)
    assert not changed(room)
    with pytest.raises(NotLive):
        show(new_room(), "private")


def test_a_private_live_and_the_first_one_after_it_begin_with_new_groups() -> None:
    room = new_room()
    with pytest.raises(TryAgain):
        room.open(HOST, "e1", "s1", NOW, "private")
    assert not changed(room)
    assert room.open(HOST, "e1", "s1", NOW, "private", "group-2")
    assert (room.visibility, room.group_id, room.groups_to_destroy) == (
        "private",
        "group-2",
        ["qlive1"],
    )
    room = reloaded(room)
    room.close("host")
    room = reloaded(room)
    assert room.needs_new_group("public")
    assert room.open(HOST, "e2", "s2", NOW, "public", "group-3")
    assert (room.visibility, room.group_id) == ("public", "group-3")
    assert not room.needs_new_group("public")
    assert not room.open(HOST, "e3", "s3", NOW, "private"), "it is live"


# ---- entering


def test_a_private_live_is_entered_by_ticket_only() -> None:
    room = private_room(BERT)
    room.enter(BERT, NOW)  # who is inside comes back
    room.enter(HOST, NOW)
    room.enter(BERT, NOW, "forged")
    assert not changed(room)
    with pytest.raises(InvitationRequired):
        room.enter(CARL, NOW, free_places=1)
    with pytest.raises(InvitationInvalid):
        room.enter(CARL, NOW, "forged", 1)
    room.enter(CARL, NOW, "t1", 1)
    assert changed(room) == {"members", "tickets", "revision"}
    assert room.tickets["t1"].takers == (CARL.user_id,)


def test_a_live_for_followers_is_entered_by_followers_and_by_ticket() -> None:
    room = live_room(BERT)
    room.issue_ticket(LINK)
    show(room, "followers")
    room = reloaded(room)
    room.enter(BERT, NOW)  # who is inside comes back
    with pytest.raises(InvitationInvalid):
        room.enter(DORA, NOW, "forged", follows=True)
    with pytest.raises(FollowersOnly):
        room.enter(DORA, NOW)
    assert not changed(room)
    room.enter(DORA, NOW, follows=True)
    assert changed(room) == {"members"}, "followers who enter together do not conflict"
    room.enter(CARL, NOW, "t1")
    assert room.has(BERT.user_id, CARL.user_id, DORA.user_id)
    show(room, "private")
    with pytest.raises(InvitationRequired):
        room.enter(KIM, NOW, follows=True, free_places=1)


def test_members_who_join_together_share_the_free_places() -> None:
    room = private_room()
    room.enter(BERT, NOW, "t1", 1)
    with pytest.raises(RoomFull):
        room.enter(CARL, NOW, "t1", 1)
    assert room.tickets["t1"].takers == (BERT.user_id,), "a refusal uses nothing up"
    room.remove(BERT.user_id, "left")
    room.enter(CARL, NOW, "t1", 1)


def test_a_taker_comes_back_until_the_ticket_ends() -> None:
    room = private_room()
    for person in (BERT, CARL):
        room.enter(person, NOW, "t1", 5)
        room.leave(person.user_id)
    room = reloaded(room)
    with pytest.raises(InvitationInvalid):
        room.enter(DORA, NOW, "t1", 5)
    revision = room.revision
    room.enter(BERT, SOON - 1, "t1", 5)
    assert room.revision == revision + 1, "entries to a private live must not be saved together"
    with pytest.raises(InvitationInvalid):
        room.enter(CARL, SOON, "t1", 5)


def test_a_ticket_opens_a_public_live_as_well() -> None:
    room = live_room()
    room.issue_ticket(LINK)
    room.enter(BERT, NOW, "t1")
    with pytest.raises(InvitationInvalid):
        room.enter(CARL, NOW, "t2")
    room.enter(CARL, NOW)
    assert room.tickets["t1"].takers == (BERT.user_id,)
    room.leave(BERT.user_id)
    room = reloaded(room)
    room.enter(BERT, NOW, "t1")
    assert changed(room) == {"members"}, "a taker who comes back uses nothing"


def test_a_ticket_does_not_overcome_a_ban() -> None:
    room = private_room(BERT)
    room.ban(BERT, SOON, HOST)
    with pytest.raises(RemovedFromRoom):
        room.enter(BERT, NOW, "t1", 5)
