"""Tickets into a live, and what the invited users receive in their user channels."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.errors import InvalidParameter
from people.user_events import USER_EVENT_PAYLOADS
from rooms.errors import NotHost, NotLive, TooManyInvitations
from rooms.room import Room
from rooms.seating_room import INVITATION_SECONDS
from rooms.tickets import Ticket
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    DORA,
    EPOCH,
    HOST,
    KIM,
    NOW,
    changed,
    live_room,
    new_room,
    reloaded,
    with_deputies,
)

SOON = NOW + 60_000
APP = Ticket("t1", "app", HOST.user_id, SOON, 1, user_id=ANNA.user_id)
LINK = Ticket("t2", "link", HOST.user_id, SOON, 1, uses=3)


def told(room: Room) -> list[tuple[str, str, Any]]:
    """(user, type, data) of the events for users; each has the fields that its type declares."""
    for _, event in room.user_events:
        assert event.data.keys() == USER_EVENT_PAYLOADS[event.type].__annotations__.keys()
    return [(user_id, event.type, event.data) for user_id, event in room.user_events]


def ended(room: Room) -> list[tuple[str, str, str]]:
    """(user, invitation, reason) of the invitations that have ended."""
    return [
        (user_id, data["invitation_id"], data["reason"])
        for user_id, type_, data in told(room)
        if type_ == "invitation_end"
    ]


def become_public(room: Room) -> None:
    room.visibility = "followers"
    room.set_visibility(HOST.user_id, "public", "", str, str)


def inviting_room(*people: Any) -> Room:
    """A live into which ANNA is invited, with a link besides."""
    room = live_room(*people)
    room.issue_ticket(APP)
    room.issue_ticket(LINK)
    return reloaded(room)


def test_an_invited_user_receives_the_invitation_in_the_user_channel() -> None:
    room = live_room()
    assert room.issue_ticket(APP) is APP
    host = {"user_id": HOST.user_id, "nickname": HOST.nickname, "face_url": HOST.face_url}
    shown = {"kind": "room", "live_id": 1, "room_name": "hong", "host": host}
    assert told(room) == [
        (ANNA.user_id, "invitation", {"invitation_id": "t1", **shown, "expires_at": SOON})
    ]
    assert room.events == []
    assert changed(room) == {"tickets", "revision"}
    room.issue_ticket(LINK)
    assert len(room.user_events) == 1, "a link invites no user by name"


def test_a_repeated_request_returns_its_ticket() -> None:
    room = live_room()
    first = room.issue_ticket(replace(LINK, request_id="r1"))
    assert room.issue_ticket(replace(LINK, id="t3", request_id="r1", uses=1)) is first
    for id_, request_id in (("t4", "r2"), ("t5", ""), ("t6", "")):
        assert room.issue_ticket(replace(LINK, id=id_, request_id=request_id)).id == id_


def test_who_may_issue_and_whom_a_ticket_may_name() -> None:
    room = live_room(BERT)
    with pytest.raises(NotHost):
        room.issue_ticket(replace(APP, inviter=BERT.user_id))
    with pytest.raises(InvalidParameter):
        room.issue_ticket(replace(APP, user_id=HOST.user_id))
    with pytest.raises(NotLive):
        new_room().issue_ticket(APP)
    assert not changed(room)


def test_each_inviter_has_a_number_of_tickets_and_of_their_uses() -> None:
    for host_count, count, uses in ((5, 1, 100), (100, 20, 1)):
        room = with_deputies(live_room(DORA, KIM), DORA, KIM)
        for deputy in (DORA, KIM):
            ticket = replace(LINK, inviter=deputy.user_id, uses=uses)
            for n in range(count):
                room.issue_ticket(replace(ticket, id=f"{deputy.user_id}-{n}"))
            with pytest.raises(TooManyInvitations):
                room.issue_ticket(replace(ticket, uses=1))
        for n in range(host_count):
            room.issue_ticket(replace(LINK, id=f"link{n}", uses=uses))
        with pytest.raises(TooManyInvitations):
            room.issue_ticket(APP)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda room: room.enter(ANNA, NOW, "t1"), "accepted"),
        (lambda room: room.withdraw_ticket(ANNA.user_id, "t1"), "refused"),
        (lambda room: room.withdraw_ticket(HOST.user_id, "t1"), "withdrawn"),
        (lambda room: room.expire(SOON), "expired"),
        (lambda room: room.end(HOST.user_id), "live_end"),
        (lambda room: room.ban(ANNA, SOON, HOST), "blocked"),
        (become_public, "withdrawn"),
        (lambda room: room.end_tickets("withdrawn", inviter=HOST.user_id), "withdrawn"),
    ],
)
def test_an_invited_user_is_told_once_how_the_invitation_ended(
    end: Callable[[Room], object], reason: str
) -> None:
    room = inviting_room()
    end(room)
    assert ended(room) == [(ANNA.user_id, "t1", reason)]
    assert "revision" in changed(room)
    if reason != "accepted":
        assert "t1" not in room.tickets
        return
    room = reloaded(room)
    room.close("operator")
    assert (ended(room), room.tickets) == ([], {})


def test_only_host_inviter_and_invited_user_end_a_ticket() -> None:
    room = inviting_room(BERT)
    for user_id, ticket_id in ((BERT.user_id, "t1"), (ANNA.user_id, "t2")):
        with pytest.raises(NotHost):
            room.withdraw_ticket(user_id, ticket_id)
        with pytest.raises(NotHost):
            room.tickets_of(user_id)
    room.withdraw_ticket(BERT.user_id, "ended before")
    assert not changed(room)
    assert room.tickets_of(HOST.user_id) == [APP, LINK]
    room.withdraw_ticket(HOST.user_id, "t2")
    assert room.tickets_of(HOST.user_id) == [APP]
    assert told(room) == []


def test_a_second_invitation_of_a_user_replaces_the_first() -> None:
    room = inviting_room()
    room.issue_ticket(replace(APP, id="t4"))
    assert ended(room) == [(ANNA.user_id, "t1", "withdrawn")]
    assert [*room.tickets] == ["t2", "t4"]


@pytest.mark.parametrize("ticket", ["", "t2"])
def test_a_user_who_enters_otherwise_has_accepted_the_invitation_once(ticket: str) -> None:
    room = inviting_room(ANNA) if not ticket else inviting_room()
    for _ in range(2):
        room.enter(ANNA, NOW, ticket)
    assert ended(room) == [(ANNA.user_id, "t1", "accepted")]
    room = reloaded(room)
    room.close("host")
    assert ended(room) == []


def deputed_room(*, visibility: Any = "public") -> Room:
    """A live into which BERT, a deputy inside, has invited CARL, and the host ANNA."""
    room = inviting_room(BERT)
    room.name_deputy(HOST.user_id, BERT)
    room.issue_ticket(replace(APP, id="t3", inviter=BERT.user_id, user_id=CARL.user_id))
    return replace(reloaded(room), visibility=visibility)


def test_a_deputy_sees_and_withdraws_the_own_tickets_alone() -> None:
    room = deputed_room(visibility="private")
    assert [ticket.id for ticket in room.tickets_of(BERT.user_id)] == ["t3"]
    assert [ticket.id for ticket in room.tickets_of(HOST.user_id)] == ["t1", "t2", "t3"]
    with pytest.raises(NotHost):
        room.withdraw_ticket(BERT.user_id, "t1")
    room.withdraw_ticket(BERT.user_id, "t3")
    assert ended(room) == [(CARL.user_id, "t3", "withdrawn")]
    room.leave(BERT.user_id)
    with pytest.raises(NotHost):
        room.issue_ticket(replace(LINK, id="t4", inviter=BERT.user_id))


@pytest.mark.parametrize(
    ("end", "over"),
    [
        (lambda room: room.end_deputy(BERT), {"t3": "withdrawn"}),
        (lambda room: room.ban(BERT, SOON, HOST), {"t3": "withdrawn"}),
        (lambda room: room.separate(HOST, BERT), {"t3": "withdrawn"}),
        (lambda room: room.separate(BERT, HOST), {"t3": "withdrawn"}),
        (lambda room: room.separate(CARL, BERT), {"t3": "blocked"}),
        (lambda room: room.separate(CARL, HOST), {"t3": "blocked"}),
        (lambda room: room.separate(ANNA, HOST), {"t1": "blocked"}),
        (lambda room: room.separate(ANNA, BERT), {}),
        (lambda room: room.separate(ANNA, CARL), {}),
    ],
)
def test_tickets_end_with_the_deputy_and_with_a_block(
    end: Callable[[Room], object], over: dict[str, str]
) -> None:
    room = deputed_room()
    end(room)
    assert {ticket: reason for _, ticket, reason in ended(room)} == over
    assert bool(room.deputies) == ("withdrawn" not in over.values())


# ---- invitations to a seat


def room_with_invitation() -> Room:
    room = live_room(ANNA, CARL)
    room.invite(HOST.user_id, ANNA, NOW)
    room.apply(CARL, NOW)
    return reloaded(room)


def test_an_invitation_to_a_seat_is_told_in_the_user_channel_and_replaced_by_the_next() -> None:
    room = live_room(ANNA)
    room.invite(HOST.user_id, ANNA, NOW)
    room.invite(HOST.user_id, ANNA, NOW + 5)
    events = told(room)
    assert [(user_id, type_) for user_id, type_, _ in events] == [(ANNA.user_id, "invitation")] * 2
    assert {data["invitation_id"] for _, _, data in events} == {f"{EPOCH}-1"}
    assert events[1][2]["kind"] == "seat"
    assert events[1][2]["expires_at"] == NOW + 5 + INVITATION_SECONDS * 1000


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda room: room.accept(ANNA, "applied", "s", ""), "accepted"),
        (lambda room: room.refuse(ANNA.user_id), "refused"),
        (lambda room: room.leave(ANNA.user_id), "refused"),
        (lambda room: room.expire(NOW + 90_000), "expired"),
        (lambda room: room.remove(ANNA.user_id, "offline"), "expired"),
        (lambda room: room.leave_mic(HOST, ANNA.user_id), "withdrawn"),
        (lambda room: room.ban(ANNA, SOON, HOST), "withdrawn"),
        (lambda room: room.remove(ANNA.user_id, "banned"), "blocked"),
        (lambda room: room.stop_stream(ANNA.user_id, SOON), "blocked"),
        (lambda room: room.close("operator"), "live_end"),
    ],
)
def test_every_end_of_an_invitation_to_a_seat_is_told(
    end: Callable[[Room], object], reason: str
) -> None:
    room = room_with_invitation()
    end(room)
    assert ended(room) == [(ANNA.user_id, f"{EPOCH}-1", reason)]


def test_the_end_of_an_application_alone_is_not_told() -> None:
    room = room_with_invitation()
    room.refuse(CARL.user_id)
    assert told(room) == []
