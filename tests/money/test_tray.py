from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from money.book import Answer, Entry, Heard, Line, Purse
from money.gift import Present
from money.rank import Mark
from money.refusals import InsufficientGold, Refusal, RequestIdReused
from money.tray import Move, Stored, Tray
from tests.money.memory import MemoryBook
from tests.money.test_gift import NO_ID, ROSE

HEARD = Heard(7, "e1", 42)
DAY = "day:2026-03-01"
POOR = InsufficientGold
REUSED = RequestIdReused


class Counter:
    """Where gifts are handed in, any number of them together."""

    def __init__(self, **purses: tuple[int, int]) -> None:
        self.book = MemoryBook(**(purses or {"anna": (100, 10), "bert": (0, 0)}))

    def give(self, *presents: Present, heard: Heard | None = None) -> list[Any]:
        """The answers, and for refusals their kind."""
        tray = self.book.look(presents)
        answers = [hand_in(tray, present, heard) for present in presents]
        self.book.put(tray)
        return [type(it) if isinstance(it, Refusal) else it for it in answers]


def hand_in(tray: Tray, present: Present, heard: Heard | None = None) -> Answer | Refusal:
    return tray.given(present) or tray.give(present, heard)


def success(gold: int, income: int) -> Answer:
    return {"status": "success", "gold": gold, "income": income}


# ---- one gift


def test_a_gift_is_paid_earned_and_written_down() -> None:
    counter = Counter()
    assert counter.give(ROSE) == [success(80, 10)]
    assert counter.book.purses == {"anna": Purse(80, 10), "bert": Purse(0, 10)}
    assert counter.book.entries == {
        "gift:anna:r1": Entry(
            "gift:anna:r1",
            "gift",
            "anna",
            (
                Line("user:anna", "gold", -20),
                Line("house", "gold", 20),
                Line("user:bert", "income", 10),
                Line("house", "income", -10),
            ),
            {"to": "bert", "gift_id": 3, "num": 2},
            {"status": "success", "gold": 80, "income": 10},
        )
    }
    assert counter.book.heard == {"gift:anna:r1": (counter.book.now, None)}


def test_what_gold_cannot_pay_is_taken_from_income() -> None:
    counter = Counter(anna=(15, 10), bert=(0, 0))
    assert counter.give(ROSE) == [success(0, 5)]
    lines = counter.book.entries["gift:anna:r1"].lines
    assert Line("user:anna", "gold", -15) in lines
    assert Line("user:anna", "income", -5) in lines


def test_a_gift_that_a_room_hears_of_is_written_with_its_event() -> None:
    counter = Counter()
    assert counter.give(ROSE, heard=HEARD) == [success(80, 10)]
    assert counter.book.heard == {"gift:anna:r1": (counter.book.now, HEARD)}


def test_a_gift_that_costs_nothing_is_given_all_the_same() -> None:
    counter = Counter(anna=(3, 4), bert=(0, 0))
    assert counter.give(replace(ROSE, gold=0), heard=HEARD) == [success(3, 4)]
    assert counter.book.entries["gift:anna:r1"].lines == ()
    assert counter.book.ranks == {}


def test_who_gives_to_herself_is_answered_with_what_she_has_then() -> None:
    counter = Counter(anna=(15, 10))
    assert counter.give(replace(ROSE, receiver="anna")) == [success(0, 15)]
    assert counter.book.purses == {"anna": Purse(0, 15)}


# ---- once


def test_the_same_request_charges_once_and_is_answered_the_same() -> None:
    counter = Counter()
    first = counter.give(ROSE, heard=HEARD)
    counter.give(replace(ROSE, request_id="r2"))
    assert counter.give(ROSE) == first
    assert counter.book.purses["anna"] == Purse(60, 10)
    assert len(counter.book.entries) == 2


def test_the_same_request_is_answered_the_same_when_nothing_is_left() -> None:
    counter = Counter(anna=(20, 0), bert=(0, 0))
    assert counter.give(ROSE) == counter.give(ROSE) == [success(0, 0)]


def test_what_was_not_given_has_no_answer() -> None:
    counter = Counter(anna=(100, 0), bert=(0, 0))
    assert counter.book.look([ROSE]).given(ROSE) is None
    counter.give(ROSE)
    for other in (replace(ROSE, request_id="r2"), replace(ROSE, sender="bert"), NO_ID):
        assert counter.book.look([other]).given(other) is None


def test_a_new_price_does_not_make_it_another_request() -> None:
    counter = Counter()
    first = counter.give(ROSE)
    assert counter.give(replace(ROSE, gold=99, rate=Decimal(1))) == first


@pytest.mark.parametrize("other", [{"receiver": "carl"}, {"gift_id": 4}, {"num": 1}])
@pytest.mark.parametrize("together", [False, True])
def test_the_same_request_id_for_something_else_is_refused(
    other: dict[str, Any], together: bool
) -> None:
    counter = Counter(anna=(100, 10), bert=(0, 0), carl=(0, 0))
    another = replace(ROSE, **other)
    if together:
        assert counter.give(ROSE, another, ROSE) == [success(80, 10), REUSED, success(80, 10)]
    else:
        counter.give(ROSE)
        assert counter.give(another) == [REUSED]
    assert counter.book.purses["anna"] == Purse(80, 10)
    assert len(counter.book.entries) == 1


def test_an_id_that_was_used_is_refused_even_to_the_poor() -> None:
    counter = Counter(anna=(20, 0), bert=(0, 0))
    counter.give(ROSE)
    assert counter.give(replace(ROSE, num=3)) == [REUSED]


def test_request_ids_are_each_senders_own() -> None:
    counter = Counter(anna=(100, 0), bert=(100, 0))
    counter.give(ROSE, replace(ROSE, sender="bert", receiver="anna"))
    assert counter.book.entries.keys() == {"gift:anna:r1", "gift:bert:r1"}


def test_whoever_is_too_poor_leaves_everything_as_it_was() -> None:
    tray = Tray(MemoryBook().now, {"anna": Purse(9, 10), "bert": Purse(0, 0)})
    assert isinstance(tray.give(ROSE, HEARD), InsufficientGold)
    assert tray.purses == {"anna": Purse(9, 10), "bert": Purse(0, 0)}
    assert (tray.entries, tray.moves, tray.marks) == ([], [], [])
    assert (tray.written, tray.same) == ({}, {})


def test_a_refusal_is_not_remembered() -> None:
    counter = Counter(anna=(0, 0), bert=(0, 0))
    assert counter.give(ROSE) == [POOR]
    counter.book.purses["anna"] = Purse(20, 0)
    assert counter.give(ROSE) == [success(0, 0)]


# ---- without a request_id


def test_without_a_request_id_every_gift_is_a_new_one() -> None:
    counter = Counter()
    assert counter.give(NO_ID, replace(NO_ID)) == [success(80, 10), success(60, 10)]
    assert counter.give(replace(NO_ID)) == [success(40, 10)]
    assert len(counter.book.entries) == 3


@pytest.mark.parametrize("together", [False, True])
def test_within_the_repeat_window_an_identical_gift_counts_as_a_retry(together: bool) -> None:
    counter, present = Counter(), replace(NO_ID, repeat_ms=500)
    presents = [present, replace(present), replace(present, num=1)]
    if together:
        answers = counter.give(*presents)
    else:
        answers = [answer for present in presents for answer in counter.give(present)]
    assert answers == [success(80, 10), success(80, 10), success(70, 10)]


def test_a_gift_that_had_a_request_id_is_retried_without_it() -> None:
    counter = Counter()
    assert counter.give(ROSE, replace(NO_ID, repeat_ms=500)) == [success(80, 10)] * 2


def test_the_retry_of_one_of_many_is_answered_as_the_last_of_them() -> None:
    counter, retry = Counter(), replace(NO_ID, repeat_ms=500)
    assert counter.give(NO_ID, replace(NO_ID), retry)[1:] == [success(60, 10)] * 2
    assert counter.give(replace(retry)) == [success(60, 10)]


def test_a_request_id_says_more_than_the_repeat_window() -> None:
    counter, present = Counter(), replace(ROSE, repeat_ms=500)
    answers = counter.give(present, replace(present, request_id="r2"))
    assert answers == [success(80, 10), success(60, 10)]


def test_what_the_book_says_of_a_likeness_counts_for_retries_only() -> None:
    same = {ROSE.likeness: success(1, 2)}
    tray = Tray(MemoryBook().now, {"anna": Purse(20, 0), "bert": Purse(0, 0)}, same=same)
    assert tray.given(replace(NO_ID, repeat_ms=500)) == success(1, 2)
    assert tray.given(replace(NO_ID, repeat_ms=500, num=1)) is None
    assert tray.given(NO_ID) is None
    assert tray.given(ROSE) is None


# ---- several together


def test_a_poor_sender_among_several_spoils_nothing() -> None:
    counter = Counter(anna=(100, 0), bert=(0, 0), carl=(19, 0))
    by_carl = replace(ROSE, sender="carl")
    answers = counter.give(ROSE, by_carl, replace(ROSE, request_id="r2"))
    assert answers == [success(80, 0), POOR, success(60, 0)]
    assert counter.book.purses == {"anna": Purse(60, 0), "bert": Purse(0, 20), "carl": Purse(19, 0)}
    assert [*counter.book.entries] == ["gift:anna:r1", "gift:anna:r2"]


def test_who_runs_out_on_the_way_is_refused_what_is_too_dear_and_given_what_is_not() -> None:
    counter = Counter(anna=(25, 0), bert=(0, 0))
    wants = [replace(ROSE, request_id=name, num=num) for name, num in (("a", 2), ("b", 1))]
    cheap = replace(ROSE, request_id="c", gold=5, num=1)
    assert counter.give(*wants, cheap) == [success(5, 0), POOR, success(0, 0)]


def test_the_same_key_twice_in_one_tray_charges_once_and_is_answered_the_same() -> None:
    counter = Counter(anna=(20, 0), bert=(0, 0))
    assert counter.give(ROSE, replace(ROSE, gold=99)) == [success(0, 0)] * 2
    assert len(counter.book.entries) == 1
    assert counter.book.purses == {"anna": Purse(0, 0), "bert": Purse(0, 10)}


def test_a_key_that_was_refused_may_be_tried_again_in_the_same_tray() -> None:
    counter = Counter(anna=(15, 0), bert=(20, 0))
    back = replace(ROSE, sender="bert", receiver="anna")
    assert counter.give(ROSE, back, ROSE) == [POOR, success(0, 0), success(0, 5)]


def test_income_that_was_just_earned_can_be_spent() -> None:
    counter = Counter(anna=(20, 0), bert=(0, 0), carl=(0, 0))
    onward = replace(ROSE, sender="bert", receiver="carl", num=1)
    assert counter.give(onward, ROSE, onward) == [POOR, success(0, 0), success(0, 0)]
    assert counter.book.purses == {"anna": Purse(0, 0), "bert": Purse(0, 0), "carl": Purse(0, 5)}
    assert [*counter.book.entries] == ["gift:anna:r1", "gift:bert:r1"]


# ---- what is to be written


def tray_of(*presents: Present, heard: Heard | None = None, **purses: tuple[int, int]) -> Tray:
    tray = Tray(MemoryBook().now, {who: Purse(*purse) for who, purse in purses.items()})
    for present in presents:
        hand_in(tray, present, heard)
    return tray


def test_entries_are_written_in_the_order_of_their_gifts_each_with_its_event() -> None:
    tray = tray_of(anna=(100, 0), bert=(0, 0))
    names, seqs = ("c", "a", "b"), (44, 43, 45)
    for name, seq in zip(names, seqs, strict=True):
        tray.give(replace(ROSE, request_id=name), replace(HEARD, seq=seq))
    tray.give(replace(ROSE, request_id="d"), None)
    written = [(entry.key, heard and heard.seq) for entry, heard in tray.entries]
    assert written == [(f"gift:anna:{n}", s) for n, s in zip("cabd", (*seqs, None), strict=True)]
    assert [entry.answer["gold"] for entry, _ in tray.entries] == [80, 60, 40, 20]


def test_a_move_is_from_the_purse_as_it_was_to_what_becomes_of_it() -> None:
    presents = [replace(ROSE, request_id=name) for name in "ab"]
    tray = tray_of(*presents, bert=(1, 2), anna=(35, 10))
    assert tray.moves == [
        Move("anna", Purse(35, 10), Purse(0, 5)),
        Move("bert", Purse(1, 2), Purse(1, 22)),
    ]


def test_there_is_no_move_of_a_purse_that_no_gift_went_by() -> None:
    tray = tray_of(replace(ROSE, rate=Decimal(0)), anna=(20, 0), bert=(0, 0), carl=(7, 7))
    assert tray.moves == [Move("anna", Purse(20, 0), Purse(0, 0))]
    assert tray_of(replace(ROSE, gold=0), anna=(20, 0), bert=(0, 0)).moves == []


def test_who_got_back_what_they_gave_is_named_as_well() -> None:
    there = replace(ROSE, rate=Decimal(1))
    back = replace(there, sender="bert", receiver="anna")
    tray = tray_of(there, back, anna=(0, 20), bert=(0, 0))
    assert tray.moves == [
        Move("anna", Purse(0, 20), Purse(0, 20)),
        Move("bert", Purse(0, 0), Purse(0, 0)),
    ]


def test_marks_add_up_for_each_person_in_each_ranking() -> None:
    presents = [replace(ROSE, request_id=name) for name in "ab"]
    back = replace(ROSE, sender="bert", receiver="anna", num=1)
    tray = tray_of(*presents, back, heard=HEARD, anna=(35, 10), bert=(10, 0))
    assert tray.marks == [
        Mark(DAY, "anna", 40, 5),
        Mark(DAY, "bert", 10, 20),
        Mark("live:7:e1", "anna", 40, 5),
        Mark("live:7:e1", "bert", 10, 20),
    ]


def test_gifts_of_two_lives_and_of_none_count_where_they_were_heard_of() -> None:
    tray = tray_of(anna=(100, 0), bert=(0, 0))
    for name, heard in (("a", HEARD), ("b", replace(HEARD, epoch="e2")), ("c", None)):
        tray.give(replace(ROSE, request_id=name), heard)
    assert tray.marks == [
        Mark(DAY, "anna", 60, 0),
        Mark(DAY, "bert", 0, 30),
        Mark("live:7:e1", "anna", 20, 0),
        Mark("live:7:e1", "bert", 0, 10),
        Mark("live:7:e2", "anna", 20, 0),
        Mark("live:7:e2", "bert", 0, 10),
    ]


def test_what_was_given_before_is_not_written_or_counted_again() -> None:
    stored = Stored(ROSE.content, success(80, 10))
    purses = {"anna": Purse(80, 10), "bert": Purse(0, 10)}
    tray = Tray(MemoryBook().now, purses, {ROSE.key: stored})
    assert hand_in(tray, ROSE, HEARD) == success(80, 10)
    assert (tray.entries, tray.moves, tray.marks) == ([], [], [])
