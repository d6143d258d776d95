"""Streams: their state by late and repeated notifications, and when their push is cut."""

from collections.abc import Callable

import pytest

from rooms.errors import StreamForbidden
from rooms.members import ENDED_SEQUENCES_KEPT, StreamState, apply_notification
from rooms.room import Room
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    GRACE,
    HOST,
    NOW,
    STRANGER,
    changed,
    events_of,
    live_room,
    room_with_away,
    room_with_guests,
)

NAME = "10000001_a"
AT = 1_690_000_000
IGNORED = (None, False)


def apply_all(*notifications: tuple[str, str, int]) -> list[tuple[StreamState | None, bool]]:
    """State and acceptance after each ("on" or "off", sequence, seconds after AT)."""
    state: StreamState | None = None
    results = []
    for kind, sequence, seconds in notifications:
        result = apply_notification(
            state, NAME, on=kind == "on", sequence=sequence, at=AT + seconds
        )
        state = result[0] or state
        results.append(result)
    return results


def stream(sequence: str, seconds: int, *ended: str, on: bool) -> StreamState:
    times = {"at": AT + seconds, "on": on, "ended": list(ended)}
    return {"name": NAME, "sequence": sequence, **times}


# ---- streams that moderation stops


def test_a_stopped_stream_takes_a_guest_off_the_mic_or_out_of_the_queue_or_ends_the_live() -> None:
    room = room_with_guests(BERT)
    room.stop_stream(STRANGER.user_id, LATER)
    assert not changed(room)
    room.stop_stream(BERT.user_id, LATER)
    assert events_of(room) == [("micro_leave", {**BERT.public_profile(), "reason": "moderation"})]
    assert [*room.streams_to_drop.values()] == [""]
    room.apply(BERT, NOW)
    room.stop_stream(BERT.user_id, LATER)
    assert events_of(room)[-1] == (
        "micro_refuse",
        {**BERT.public_profile(), "reason": "moderation"},
    )
    assert room.role_of(BERT.user_id) == "viewer"
    for _ in range(2):
        room.stop_stream(HOST.user_id, LATER)
        room.stop_stream(BERT.user_id, LATER)
    assert events_of(room)[3:] == [("live_end", {**HOST.public_profile(), "reason": "moderation"})]


@pytest.mark.parametrize("allow", [True, False])
def test_a_user_whose_stream_was_stopped_gets_no_seat_until_it_is_allowed_or_the_time_is_over(
    *, allow: bool
) -> None:
    room = live_room(BERT)
    room.stop_stream(BERT.user_id, LATER)
    with pytest.raises(StreamForbidden):
        room.accept(BERT, "open", "s", "")
    room.allow_stream(BERT.user_id) if allow else room.expire(LATER)
    assert room.accept(BERT, "open", "s", "").stream == "s"


# ---- notifications


def test_each_push_under_a_name_begins_and_ends() -> None:
    assert apply_all(("on", "7", 0), ("off", "7", 9), ("on", "8", 12), ("off", "8", 20)) == [
        (stream("7", 0, on=True), True),
        (stream("7", 9, "7", on=False), True),
        (stream("8", 12, "7", on=True), True),
        (stream("8", 20, "7", "8", on=False), True),
    ]


def test_the_end_of_an_earlier_push_does_not_end_an_overlapping_one() -> None:
    results = apply_all(("on", "7", 0), ("on", "8", 5), ("off", "7", 6))
    assert results[1:] == [
        (stream("8", 5, on=True), True),
        (stream("8", 5, "7", on=True), False),
    ]


@pytest.mark.parametrize(
    "notifications",
    [
        [("off", "7", 9), ("on", "7", 0)],
        [("on", "7", 0), ("off", "7", 9), ("on", "7", 10)],
        [("on", "7", 0), ("on", "7", 0)],
        [("off", "7", 0), ("off", "7", 0)],
        [("on", "8", 5), ("off", "7", 6), ("on", "7", 9)],
        [("on", "8", 5), ("off", "7", 6), ("off", "7", 6)],
        [("on", "8", 5), ("on", "7", 4)],
    ],
    ids=[
        *("start after its end", "later start after its end", "repeated start", "repeated end"),
        *("start of an ended push", "repeated end of an earlier push", "start of an older push"),
    ],
)
def test_a_late_or_repeated_notification_is_ignored(
    notifications: list[tuple[str, str, int]],
) -> None:
    (_, accepted), *_, last = apply_all(*notifications)
    assert accepted
    assert last == IGNORED


@pytest.mark.parametrize(
    ("known", "new", "accepted"),
    [
        ("9", "10", True),  # compared as numbers, not as text
        ("10", "9", False),
        ("7", "a", False),  # a text precedes every number
        ("a", "b", False),
        ("a", "1", True),
    ],
)
def test_the_higher_sequence_wins_between_starts_in_one_second(
    known: str, new: str, *, accepted: bool
) -> None:
    assert apply_all(("on", known, 0), ("on", new, 0))[1][1] is accepted


@pytest.mark.parametrize("on", [True, False])
def test_the_state_of_another_stream_name_is_replaced(*, on: bool) -> None:
    other = stream("7", 50, "8", on=True) | {"name": "10000001_b"}
    expected = stream("8", 0, *([] if on else ["8"]), on=on)
    assert apply_notification(other, NAME, on=on, sequence="8", at=AT) == (expected, True)


def test_the_oldest_remembered_end_is_dropped_at_the_limit() -> None:
    ends = [("off", str(n), n) for n in range(ENDED_SEQUENCES_KEPT)]
    before = apply_all(("on", "100", 100), *ends)[-1][0]
    assert before == stream("100", 100, *map(str, range(ENDED_SEQUENCES_KEPT)), on=True)
    state, accepted = apply_notification(before, NAME, on=False, sequence="100", at=AT + 200)
    assert state == stream("100", 200, *map(str, range(1, ENDED_SEQUENCES_KEPT)), "100", on=False)
    assert accepted
    assert len(before["ended"]) == ENDED_SEQUENCES_KEPT, "the state before is not changed"


# ---- pushes to be cut; test_properties.py shows that other changes of a room cut none

BERT_STREAM, ANNA_STREAM, HOST_STREAM = "stream-bert", "stream-anna", "stream-host"
EVERY_STREAM = {BERT_STREAM, ANNA_STREAM, HOST_STREAM}
BERTS = {BERT_STREAM: BERT.user_id}
LATER = NOW + 10**9
Action = Callable[[Room], object]


def full_room() -> Room:
    """BERT and ANNA on mic, CARL applied; BERT has lost his connection."""
    room = room_with_guests(BERT, ANNA, watching=(CARL,))
    room.apply(CARL, NOW)
    return room_with_away(room, BERT)


@pytest.mark.parametrize(
    ("action", "dropped"),
    [
        (lambda room: room.leave(BERT.user_id), BERTS),
        (
            lambda room: room.leave_mic(ANNA, ANNA.user_id),
            {ANNA_STREAM: ANNA.user_id},
        ),
        (
            lambda room: room.apply_absence(BERT.user_id, LATER, GRACE, since=0, streams=False),
            BERTS,
        ),
        (lambda room: room.ban(BERT, LATER, HOST), {BERT_STREAM: ""}),
        (lambda room: room.remove(ANNA.user_id, "banned"), {ANNA_STREAM: ""}),
        (lambda room: room.end(HOST.user_id), dict.fromkeys(EVERY_STREAM, "")),
    ],
)
def test_the_end_of_a_seat_drops_its_stream_given_up_if_its_user_left_or_was_offline(
    action: Action, dropped: dict[str, str]
) -> None:
    room = full_room()
    action(room)
    assert room.streams_to_drop == dropped
