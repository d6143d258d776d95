"""A stream is dropped exactly when its seat ends; streams that were taken away are told apart."""

from collections.abc import Callable

import pytest

from rooms.room import Room
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    GRACE,
    HOST,
    NOW,
    reloaded,
    room_with_away,
    room_with_guests,
)

BERT_STREAM, ANNA_STREAM, HOST_STREAM = "stream-bert", "stream-anna", "stream-host"
LATER = NOW + 10**9
Action = Callable[[Room], object]


def full_room() -> Room:
    """BERT and ANNA on mic, CARL applied."""
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW, 600)
    return reloaded(room)


@pytest.mark.parametrize(
    ("action", "dropped"),
    [
        (lambda room: room.leave(BERT.user_id), {BERT_STREAM}),
        (lambda room: room.leave_mic(ANNA.user_id, ANNA.user_id), {ANNA_STREAM}),
        (lambda room: room.leave_mic(HOST.user_id, BERT.user_id), {BERT_STREAM}),
        (lambda room: room.remove_member(ANNA.user_id, "banned"), {ANNA_STREAM}),
        (
            lambda room: room.remove_member(HOST.user_id, "banned"),
            {HOST_STREAM, BERT_STREAM, ANNA_STREAM},
        ),
        (lambda room: room.end(HOST.user_id), {HOST_STREAM, BERT_STREAM, ANNA_STREAM}),
        (lambda room: room.close("operator"), {HOST_STREAM, BERT_STREAM, ANNA_STREAM}),
        (
            lambda room: (room.leave(BERT.user_id), room.leave(ANNA.user_id)),
            {BERT_STREAM, ANNA_STREAM},
        ),
    ],
)
def test_the_end_of_a_seat_drops_its_stream(action: Action, dropped: set[str]) -> None:
    room = full_room()
    action(room)
    assert room.dropped == dropped


@pytest.mark.parametrize(
    "action",
    [
        lambda room: room.leave(CARL.user_id),
        lambda room: room.leave_mic(HOST.user_id, CARL.user_id),
        lambda room: room.refuse(CARL.user_id),
        lambda room: room.expire(NOW + 10**9),
        lambda room: room.accept(BERT, "open", "other", "u"),
        lambda room: room.open(HOST, "next", "other", NOW),
        lambda room: room.enter(BERT, NOW),
        lambda room: room.mark_connected(BERT.user_id),
        lambda room: room.apply_absence(BERT.user_id, NOW, GRACE, since=NOW, streams=False),
    ],
)
def test_streams_of_taken_seats_are_kept(action: Action) -> None:
    room = full_room()
    action(room)
    assert room.dropped == set()


def test_an_absent_guest_may_continue_to_push() -> None:
    room = room_with_away(full_room(), BERT)
    room.apply_absence(BERT.user_id, NOW + 3_000, GRACE, since=NOW, streams=True)
    assert room.events
    assert room.dropped == set()


@pytest.mark.parametrize(
    ("action", "given_up"),
    [
        (lambda room: room.leave(BERT.user_id), {BERT_STREAM: BERT.user_id}),
        (lambda room: room.leave_mic(ANNA.user_id, ANNA.user_id), {ANNA_STREAM: ANNA.user_id}),
        (
            lambda room: room.apply_absence(BERT.user_id, LATER, GRACE, since=0, streams=False),
            {BERT_STREAM: BERT.user_id},
        ),
        (lambda room: room.leave_mic(HOST.user_id, BERT.user_id), {}),
        (lambda room: room.remove_user(HOST.user_id, BERT.user_id, LATER), {}),
        (lambda room: room.remove_member(ANNA.user_id, "banned"), {}),
        (lambda room: room.end(HOST.user_id), {}),
        (lambda room: room.remove_member(HOST.user_id, "offline"), {}),
    ],
)
def test_a_stream_is_given_up_if_its_user_left_or_was_offline(
    action: Action, given_up: dict[str, str]
) -> None:
    room = room_with_away(full_room(), BERT)
    action(room)
    assert room.dropped
    assert room.given_up == given_up


def test_streams_are_dropped_once() -> None:
    room = full_room()
    room.close("host")
    room = reloaded(room)
    room.close("operator")
    room.open(HOST, "next", "new-stream", NOW)
    assert room.dropped == set()


def test_an_empty_seat_has_no_stream() -> None:
    room = room_with_guests(BERT)
    room.close("host")
    assert room.dropped == {HOST_STREAM, BERT_STREAM}
