"""A stream that nobody is to push any more is dropped exactly when its seat ends."""

from collections.abc import Callable

import pytest

from rooms.room import Room
from tests.rooms.cast import ANNA, BERT, CARL, HOST, NOW, PATIENCE, after, away, seated

BERTS, ANNAS, HOSTS = "stream-bert", "stream-anna", "stream-host"
Act = Callable[[Room], object]


def a_room() -> Room:
    """BERT and ANNA on mic, CARL applied."""
    room = seated(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    return after(room)


@pytest.mark.parametrize(
    ("act", "dropped"),
    [
        (lambda room: room.leave(BERT.user_id), {BERTS}),
        (lambda room: room.leave_micro(ANNA.user_id, ANNA.user_id), {ANNAS}),
        (lambda room: room.leave_micro(HOST.user_id, BERT.user_id), {BERTS}),
        (lambda room: room.depart(ANNA.user_id, "banned"), {ANNAS}),
        (lambda room: room.depart(HOST.user_id, "banned"), {HOSTS, BERTS, ANNAS}),
        (lambda room: room.end(HOST.user_id), {HOSTS, BERTS, ANNAS}),
        (lambda room: room.close("operator"), {HOSTS, BERTS, ANNAS}),
        (lambda room: (room.leave(BERT.user_id), room.leave(ANNA.user_id)), {BERTS, ANNAS}),
    ],
)
def test_with_a_seat_ends_its_stream(act: Act, dropped: set[str]) -> None:
    room = a_room()
    act(room)
    assert room.dropped == dropped


@pytest.mark.parametrize(
    "act",
    [
        lambda room: room.leave(CARL.user_id),
        lambda room: room.leave_micro(HOST.user_id, CARL.user_id),
        lambda room: room.refuse(CARL.user_id),
        lambda room: room.expire(NOW + 10**9),
        lambda room: room.accept(BERT, "open", "other", "u"),
        lambda room: room.open(HOST, "next", "other", NOW),
        lambda room: room.enter(BERT, NOW),
        lambda room: room.come_back(BERT.user_id),
        lambda room: room.miss(BERT.user_id, NOW, PATIENCE, since=NOW, streams=False),
    ],
)
def test_no_stream_is_dropped_whose_seat_is_still_taken(act: Act) -> None:
    room = a_room()
    act(room)
    assert room.dropped == set()


def test_somebody_who_is_shown_away_may_go_on_pushing() -> None:
    room = away(a_room(), BERT)
    room.miss(BERT.user_id, NOW + 3_000, PATIENCE, since=NOW, streams=True)
    assert room.events
    assert room.dropped == set()


def test_nothing_is_dropped_twice() -> None:
    room = a_room()
    room.close("host")
    room = after(room)
    room.close("operator")
    room.open(HOST, "next", "new-stream", NOW)
    assert room.dropped == set()


def test_an_empty_seat_has_no_stream() -> None:
    room = seated(BERT)
    room.close("host")
    assert room.dropped == {HOSTS, BERTS}
