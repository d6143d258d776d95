"""Stream state from notifications that arrive late, twice or out of order."""

import pytest

from rooms.members import ENDED_SEQUENCES_KEPT, StreamState, apply_notification

NAME = "10000001_a"
AT = 1_690_000_000


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
    return {
        "name": NAME,
        "sequence": sequence,
        "at": AT + seconds,
        "on": on,
        "ended": list(ended),
    }


IGNORED = (None, False)


def test_a_start_and_its_end_are_accepted() -> None:
    assert apply_all(("on", "7", 0), ("off", "7", 9)) == [
        (stream("7", 0, on=True), True),
        (stream("7", 9, "7", on=False), True),
    ]


def test_a_start_that_arrives_after_its_end_is_ignored() -> None:
    early_end, late_start = apply_all(("off", "7", 9), ("on", "7", 0))
    assert early_end == (stream("7", 9, "7", on=False), True)
    assert late_start == IGNORED


def test_a_repeated_start_after_its_end_is_ignored_despite_a_later_time() -> None:
    assert apply_all(("on", "7", 0), ("off", "7", 9), ("on", "7", 10))[-1] == IGNORED


@pytest.mark.parametrize("kind", ["on", "off"])
def test_a_repeated_notification_is_ignored(kind: str) -> None:
    first, second = apply_all((kind, "7", 0), (kind, "7", 0))
    assert first[1] is True
    assert second == IGNORED


def test_a_new_push_under_the_same_name_is_accepted() -> None:
    results = apply_all(("on", "7", 0), ("off", "7", 9), ("on", "8", 12), ("off", "8", 20))
    assert results[2:] == [
        (stream("8", 12, "7", on=True), True),
        (stream("8", 20, "7", "8", on=False), True),
    ]


def test_the_end_of_an_earlier_push_does_not_end_an_overlapping_one() -> None:
    results = apply_all(("on", "7", 0), ("on", "8", 5), ("off", "7", 6))
    assert results[1] == (stream("8", 5, on=True), True)
    assert results[2] == (stream("8", 5, "7", on=True), False)


def test_the_start_of_an_ended_push_is_ignored_while_another_is_on() -> None:
    assert apply_all(("on", "8", 5), ("off", "7", 6), ("on", "7", 9))[-1] == IGNORED


def test_the_repeated_end_of_an_earlier_push_is_ignored() -> None:
    assert apply_all(("on", "8", 5), ("off", "7", 6), ("off", "7", 6))[-1] == IGNORED


def test_a_start_older_than_the_known_push_is_ignored() -> None:
    first, late = apply_all(("on", "8", 5), ("on", "7", 4))
    assert first[1] is True
    assert late == IGNORED


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


def test_the_state_of_another_stream_name_is_replaced() -> None:
    other = stream("7", 50, "8", on=True) | {"name": "10000001_b"}
    assert apply_notification(other, NAME, on=True, sequence="8", at=AT) == (
        stream("8", 0, on=True),
        True,
    )
    ended = apply_notification(other, NAME, on=False, sequence="8", at=AT)
    assert ended == (stream("8", 0, "8", on=False), True)


def test_the_oldest_remembered_end_is_dropped_at_the_limit() -> None:
    ends = [("off", str(n), n) for n in range(ENDED_SEQUENCES_KEPT)]
    state = apply_all(("on", "100", 100), *ends)[-1][0]
    assert state == stream("100", 100, *map(str, range(ENDED_SEQUENCES_KEPT)), on=True)
    state, accepted = apply_notification(state, NAME, on=False, sequence="100", at=AT + 200)
    assert state == stream("100", 200, *map(str, range(1, ENDED_SEQUENCES_KEPT)), "100", on=False)
    assert accepted


def test_the_previous_state_is_not_modified() -> None:
    known = stream("7", 0, "6", on=True)
    apply_notification(known, NAME, on=False, sequence="7", at=AT + 1)
    apply_notification(known, NAME, on=False, sequence="5", at=AT + 1)
    assert known == stream("7", 0, "6", on=True)
