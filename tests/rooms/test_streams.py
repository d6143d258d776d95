"""What is believed of a stream whose notifications come late, twice and out of order."""

import pytest

from rooms.streams import KEPT, Stream, heard

NAME = "10000001_a"
AT = 1_690_000_000


def hear(*words: tuple[str, str, int]) -> list[tuple[Stream | None, bool]]:
    """What is kept after each of these ("on" or "off", sequence, seconds after AT)."""
    kept: Stream | None = None
    answers = []
    for word, sequence, seconds in words:
        answer = heard(kept, NAME, on=word == "on", sequence=sequence, at=AT + seconds)
        kept = answer[0] or kept
        answers.append(answer)
    return answers


def stream(sequence: str, seconds: int, *ended: str, on: bool) -> Stream:
    return {
        "name": NAME,
        "sequence": sequence,
        "at": AT + seconds,
        "on": on,
        "ended": list(ended),
    }


NOTHING_NEW = (None, False)


def test_a_start_is_believed_and_so_is_its_end() -> None:
    assert hear(("on", "7", 0), ("off", "7", 9)) == [
        (stream("7", 0, on=True), True),
        (stream("7", 9, "7", on=False), True),
    ]


def test_a_start_that_comes_after_its_end_is_not_believed() -> None:
    early_end, late_start = hear(("off", "7", 9), ("on", "7", 0))
    assert early_end == (stream("7", 9, "7", on=False), True)
    assert late_start == NOTHING_NEW


def test_not_even_when_the_start_names_a_later_time_than_its_end() -> None:
    assert hear(("on", "7", 0), ("off", "7", 9), ("on", "7", 10))[-1] == NOTHING_NEW


@pytest.mark.parametrize("word", ["on", "off"])
def test_the_second_of_two_equal_notifications_says_nothing_new(word: str) -> None:
    first, second = hear((word, "7", 0), (word, "7", 0))
    assert first[1] is True
    assert second == NOTHING_NEW


def test_a_new_push_under_the_same_name_is_believed() -> None:
    answers = hear(("on", "7", 0), ("off", "7", 9), ("on", "8", 12), ("off", "8", 20))
    assert answers[2:] == [
        (stream("8", 12, "7", on=True), True),
        (stream("8", 20, "7", "8", on=False), True),
    ]


def test_the_end_of_an_earlier_push_does_not_end_the_one_that_overlaps_it() -> None:
    answers = hear(("on", "7", 0), ("on", "8", 5), ("off", "7", 6))
    assert answers[1] == (stream("8", 5, on=True), True)
    assert answers[2] == (stream("8", 5, "7", on=True), False)


def test_the_start_of_a_push_that_ended_while_another_was_on_is_not_believed() -> None:
    assert hear(("on", "8", 5), ("off", "7", 6), ("on", "7", 9))[-1] == NOTHING_NEW


def test_the_repeated_end_of_an_earlier_push_says_nothing_new() -> None:
    assert hear(("on", "8", 5), ("off", "7", 6), ("off", "7", 6))[-1] == NOTHING_NEW


def test_a_start_older_than_the_push_that_is_known_is_late() -> None:
    first, late = hear(("on", "8", 5), ("on", "7", 4))
    assert first[1] is True
    assert late == NOTHING_NEW


@pytest.mark.parametrize(
    ("known", "new", "believed"),
    [
        ("9", "10", True),  # as numbers, not as texts
        ("10", "9", False),
        ("7", "a", False),  # what is no number comes before every number
        ("a", "b", False),
        ("a", "1", True),
    ],
)
def test_of_two_starts_in_one_second_the_higher_sequence_is_the_later(
    known: str, new: str, *, believed: bool
) -> None:
    assert hear(("on", known, 0), ("on", new, 0))[1][1] is believed


def test_nothing_of_a_stream_of_another_name_counts() -> None:
    other = stream("7", 50, "8", on=True) | {"name": "10000001_b"}
    assert heard(other, NAME, on=True, sequence="8", at=AT) == (stream("8", 0, on=True), True)
    ended = heard(other, NAME, on=False, sequence="8", at=AT)
    assert ended == (stream("8", 0, "8", on=False), True)


def test_so_many_ends_are_remembered_and_then_the_oldest_is_forgotten() -> None:
    ends = [("off", str(n), n) for n in range(KEPT)]
    kept = hear(("on", "100", 100), *ends)[-1][0]
    assert kept == stream("100", 100, *map(str, range(KEPT)), on=True)
    kept, believed = heard(kept, NAME, on=False, sequence="100", at=AT + 200)
    assert kept == stream("100", 200, *map(str, range(1, KEPT)), "100", on=False)
    assert believed


def test_what_was_known_is_left_as_it_was() -> None:
    known = stream("7", 0, "6", on=True)
    heard(known, NAME, on=False, sequence="7", at=AT + 1)
    heard(known, NAME, on=False, sequence="5", at=AT + 1)
    assert known == stream("7", 0, "6", on=True)
