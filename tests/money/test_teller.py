from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from money.book import Answer, Entry, Heard, Line, Purse
from money.refusals import (
    InsufficientGold,
    NoSuchEntry,
    NotOwed,
    NotReversible,
    RequestIdReused,
)
from money.teller import Teller
from tests.money.memory import Holds, MemoryBook
from tests.money.test_gift import ROSE

gen_test = pytest.mark.gen_test(timeout=20)


class Counter:
    """A teller and its book, in which gifts may stand."""

    def __init__(self, **purses: tuple[int, int]) -> None:
        self.book = MemoryBook(**(purses or {"anna": (100, 10), "bert": (0, 0)}))
        self.holds = Holds()
        self.teller = Teller(self.book, self.holds)

    def give(self, heard: Heard | None = None) -> None:
        tray = self.book.look([ROSE])
        tray.give(ROSE, heard)
        self.book.put(tray)

    async def grant(self, gold: int = 50, request_id: str = "g1") -> Answer:
        return await self.teller.grant("bert", gold, "a prize", request_id, "ops")

    async def reverse(self, key: str) -> Answer:
        return await self.teller.reverse(key, "by mistake", "ops")

    async def settle(self, gold: int, request_id: str = "s1", *, by_house: bool = False) -> Answer:
        return await self.teller.settle("bert", gold, "paid", request_id, "ops", by_house=by_house)

    def first(self, deed: Callable[[], Awaitable[Answer]]) -> list[Answer]:
        """Somebody else does this after the next look into the book; with what answer."""
        find, answers = self.book.find, list[Answer]()

        async def find_too_early(key: str, tx: Any = None) -> Any:
            self.book.find = find  # type: ignore[method-assign]
            answers.append(await deed())
            return None

        self.book.find = find_too_early  # type: ignore[method-assign]
        return answers


# ---- grants


@gen_test
async def test_gold_is_granted_by_the_house() -> None:
    counter = Counter()
    assert await counter.grant() == {"gold": 50, "income": 0}
    assert counter.book.purses == {"anna": Purse(100, 10), "bert": Purse(50, 0)}
    assert counter.book.entries == {
        "grant:g1": Entry(
            "grant:g1",
            "grant",
            "ops",
            (Line("user:bert", "gold", 50), Line("house", "gold", -50)),
            {"to": "bert", "gold": 50},
            {"gold": 50, "income": 0},
            "a prize",
        )
    }
    assert counter.holds.names == [("bert",)]


@gen_test
async def test_a_grant_happens_once_and_its_id_is_for_nothing_else() -> None:
    counter = Counter()
    first = await counter.grant()
    assert await counter.grant() == first
    with pytest.raises(RequestIdReused):
        await counter.grant(gold=51)
    await counter.grant(request_id="g2")
    assert counter.book.purses["bert"] == Purse(100, 0)


@gen_test
async def test_of_the_same_grant_twice_at_once_the_second_gets_the_firsts_answer() -> None:
    counter = Counter()
    answers = counter.first(counter.grant)
    assert [await counter.grant()] == answers == [{"gold": 50, "income": 0}]
    assert counter.book.purses["bert"] == Purse(50, 0)
    assert len(counter.book.entries) == 1


@gen_test
async def test_of_two_grants_with_one_id_at_once_the_other_content_is_refused() -> None:
    counter = Counter()
    counter.first(lambda: counter.grant(gold=51))
    with pytest.raises(RequestIdReused):
        await counter.grant()
    assert counter.book.purses["bert"] == Purse(51, 0)


# ---- reversals


@gen_test
async def test_a_reversal_gives_everything_back_once() -> None:
    counter = Counter(anna=(15, 10), bert=(0, 0))
    counter.give()
    for _ in range(2):
        assert await counter.reverse("gift:anna:r1") == {"reverses": "gift:anna:r1"}
    assert counter.book.purses == {"anna": Purse(15, 10), "bert": Purse(0, 0)}
    entry = counter.book.entries["reversal:gift:anna:r1"]
    assert (entry.kind, entry.by, entry.note) == ("reversal", "ops", "by mistake")
    assert entry.content == entry.answer == {"reverses": "gift:anna:r1"}
    assert counter.holds.names[-1] == ("anna", "bert")


@gen_test
async def test_a_reversed_gift_is_in_no_ranking_and_the_others_stay() -> None:
    counter = Counter()
    counter.book.ranks["day:2026-03-01", "anna"] = (7, 8)
    counter.give(Heard(7, "e1", 42))
    assert counter.book.ranks == {
        ("day:2026-03-01", "anna"): (27, 8),
        ("day:2026-03-01", "bert"): (0, 10),
        ("live:7:e1", "anna"): (20, 0),
        ("live:7:e1", "bert"): (0, 10),
    }
    for _ in range(2):
        await counter.reverse("gift:anna:r1")
    assert counter.book.ranks == {("day:2026-03-01", "anna"): (7, 8)}


@gen_test
async def test_a_gift_is_taken_out_of_the_day_on_which_it_was_given() -> None:
    counter = Counter()
    counter.give()
    counter.book.now = counter.book.now.replace(day=20)
    await counter.reverse("gift:anna:r1")
    assert counter.book.ranks == {}


@gen_test
async def test_of_the_same_reversal_twice_at_once_one_gives_back() -> None:
    counter = Counter(anna=(100, 10), bert=(0, 10))
    counter.give()
    answers = counter.first(lambda: counter.reverse("gift:anna:r1"))
    assert [await counter.reverse("gift:anna:r1")] == answers
    assert counter.book.purses == {"anna": Purse(100, 10), "bert": Purse(0, 10)}
    assert len(counter.book.entries) == 2


@gen_test
async def test_of_the_same_reversal_twice_at_once_both_are_answered_when_nothing_is_left() -> None:
    counter = Counter()
    counter.give()
    answers = counter.first(lambda: counter.reverse("gift:anna:r1"))
    assert [await counter.reverse("gift:anna:r1")] == answers


@gen_test
async def test_what_somebody_does_not_have_any_more_is_not_taken() -> None:
    counter = Counter()
    counter.give()
    counter.book.purses["bert"] = Purse(50, 9)
    ranks = dict(counter.book.ranks)
    with pytest.raises(InsufficientGold):
        await counter.reverse("gift:anna:r1")
    assert counter.book.purses == {"anna": Purse(80, 10), "bert": Purse(50, 9)}
    assert (counter.book.ranks, len(counter.book.entries)) == (ranks, 1)


@gen_test
async def test_a_reversal_and_a_recharge_are_not_reversed_and_nothing_else_is() -> None:
    counter = Counter()
    await counter.grant(50)
    await counter.reverse("grant:g1")
    counter.book.entries["recharge:Q1"] = Entry("recharge:Q1", "recharge", "xpay", (), {})
    for key in ("reversal:grant:g1", "recharge:Q1"):
        with pytest.raises(NotReversible):
            await counter.reverse(key)
    with pytest.raises(NoSuchEntry):
        await counter.reverse("grant:g2")


# ---- what is owed


@gen_test
async def test_somebody_pays_what_they_owe() -> None:
    counter = Counter(bert=(30, 5))
    counter.book.owed["bert"] = 20
    for _ in range(2):
        assert await counter.settle(15) == {"gold": 15, "income": 5}
    assert (counter.book.purses["bert"], counter.book.owed["bert"]) == (Purse(15, 5), 5)
    assert counter.book.entries == {
        "settle:s1": Entry(
            "settle:s1",
            "reversal",
            "ops",
            (Line("user:bert", "gold", -15), Line("owed:bert", "gold", 15)),
            {"owed_by": "bert", "gold": 15, "by_house": False},
            {"gold": 15, "income": 5},
            "paid",
        )
    }
    assert counter.holds.names == [("bert",)]


@gen_test
async def test_the_house_pays_what_somebody_owes_and_may_take_that_back() -> None:
    counter = Counter(bert=(3, 5))
    counter.book.owed["bert"] = 20
    assert await counter.settle(15, by_house=True) == {"gold": 3, "income": 5}
    assert (counter.book.purses["bert"], counter.book.owed["bert"]) == (Purse(3, 5), 5)
    entry = counter.book.entries["settle:s1"]
    assert entry.lines == (Line("house", "gold", -15), Line("owed:bert", "gold", 15))
    assert entry.kind == "grant"
    await counter.reverse("settle:s1")
    assert (counter.book.purses["bert"], counter.book.owed["bert"]) == (Purse(3, 5), 20)


@pytest.mark.parametrize(
    ("gold", "by_house", "refusal"),
    [(21, False, NotOwed), (21, True, NotOwed), (20, False, InsufficientGold)],
)
@gen_test
async def test_more_than_is_owed_or_there_is_not_paid(
    gold: int, by_house: bool, refusal: type[Exception]
) -> None:
    counter = Counter(bert=(19, 5))
    counter.book.owed["bert"] = 20
    with pytest.raises(refusal):
        await counter.settle(gold, by_house=by_house)
    assert (counter.book.purses["bert"], counter.book.owed["bert"]) == (Purse(19, 5), 20)
    assert counter.book.entries == {}


@gen_test
async def test_an_id_with_which_a_debt_was_settled_is_for_nothing_else() -> None:
    counter = Counter(bert=(30, 5))
    counter.book.owed["bert"] = 20
    await counter.settle(5)
    with pytest.raises(RequestIdReused):
        await counter.settle(6)
    with pytest.raises(RequestIdReused):
        await counter.settle(5, by_house=True)
    answers = counter.first(lambda: counter.settle(5, "s2"))
    assert [await counter.settle(5, "s2")] == answers == [{"gold": 20, "income": 5}]
    assert counter.book.owed["bert"] == 10


@gen_test
async def test_of_the_same_settling_twice_at_once_both_are_answered_when_nothing_is_owed() -> None:
    counter = Counter(bert=(30, 5))
    counter.book.owed["bert"] = 20
    answers = counter.first(lambda: counter.settle(20))
    assert [await counter.settle(20)] == answers
