from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from money.book import Entry, Line, Purse
from money.refusals import InsufficientGold, NoSuchEntry, NotReversible, RequestIdReused
from money.teller import Answer, Heard, Present, Teller, Write
from tests.money.memory import Holds, MemoryBook

gen_test = pytest.mark.gen_test(timeout=20)
HEARD = Heard(1, "epoch", 7)
ROSE = Present("anna", "bert", gift_id=3, gold=10, num=2, rate=Decimal("0.5"), request_id="r1")
NO_ID = replace(ROSE, request_id="")


class Counter:
    """A teller, its book, and a room that hears of gifts when there is `room`."""

    def __init__(self, *, room: bool = False, **purses: tuple[int, int]) -> None:
        self.book = MemoryBook(**(purses or {"anna": (100, 10), "bert": (0, 0)}))
        self.holds = Holds()
        self.teller = Teller(self.book, self.holds)
        self.room = room
        self.told = 0

    async def tell(self, write: Write) -> Answer | None:
        if not self.room:
            return None
        answer = await self.book.alone(lambda tx: write(tx, HEARD))
        self.told += 1
        return answer

    async def give(self, present: Present = ROSE) -> Answer:
        return await self.teller.give(present, self.tell)

    async def grant(self, gold: int = 50, request_id: str = "g1") -> Answer:
        return await self.teller.grant("bert", gold, "a prize", request_id, "ops")


@gen_test
async def test_a_gift_is_paid_earned_and_written_down() -> None:
    counter = Counter()
    assert await counter.give() == {"status": "success", "gold": 80, "income": 10}
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
    assert counter.book.heard == {"gift:anna:r1": None}
    assert counter.holds.names == [("anna", "bert")]


@gen_test
async def test_what_gold_cannot_pay_is_taken_from_income() -> None:
    counter = Counter(anna=(15, 10), bert=(0, 0))
    assert await counter.give() == {"status": "success", "gold": 0, "income": 5}


@gen_test
async def test_a_gift_that_a_room_hears_of_is_written_with_its_event() -> None:
    counter = Counter(room=True)
    assert await counter.give() == {"status": "success", "gold": 80, "income": 10}
    assert counter.book.heard == {"gift:anna:r1": HEARD}
    assert counter.holds.names == []


@pytest.mark.parametrize("room", [True, False])
@gen_test
async def test_the_same_request_charges_once_and_is_answered_the_same(room: bool) -> None:
    counter = Counter(room=room)
    first = await counter.give()
    await counter.give(replace(ROSE, request_id="r2"))
    assert await counter.give() == first
    assert counter.book.purses["anna"] == Purse(60, 10)
    assert counter.told == (2 if room else 0)


@gen_test
async def test_a_new_price_does_not_make_it_another_request() -> None:
    counter = Counter()
    first = await counter.give()
    assert await counter.give(replace(ROSE, gold=99, rate=Decimal(1))) == first


@pytest.mark.parametrize("other", [{"receiver": "carl"}, {"gift_id": 4}, {"num": 1}])
@gen_test
async def test_the_same_request_id_for_something_else_is_refused(other: dict[str, Any]) -> None:
    counter = Counter(anna=(100, 10), bert=(0, 0), carl=(0, 0))
    await counter.give()
    with pytest.raises(RequestIdReused):
        await counter.give(replace(ROSE, **other))
    assert counter.book.purses["anna"] == Purse(80, 10)
    assert len(counter.book.entries) == 1


@gen_test
async def test_what_was_given_under_an_id_can_be_asked_for_before_it_is_given_again() -> None:
    counter = Counter()
    teller = counter.teller
    assert await teller.given("anna", "r1", ROSE.content) is None
    answer = await counter.give()
    assert await teller.given("anna", "r1", ROSE.content) == answer
    assert await teller.given("anna", "", ROSE.content) is None
    assert await teller.given("bert", "r1", ROSE.content) is None
    with pytest.raises(RequestIdReused):
        await teller.given("anna", "r1", replace(ROSE, num=3).content)


@gen_test
async def test_request_ids_are_each_senders_own() -> None:
    counter = Counter(anna=(100, 0), bert=(100, 0))
    await counter.give()
    await counter.give(replace(ROSE, sender="bert", receiver="anna"))
    assert counter.book.entries.keys() == {"gift:anna:r1", "gift:bert:r1"}


@pytest.mark.parametrize("room", [True, False])
@gen_test
async def test_whoever_is_too_poor_leaves_everything_as_it_was(room: bool) -> None:
    counter = Counter(room=room, anna=(9, 10), bert=(0, 0))
    with pytest.raises(InsufficientGold):
        await counter.give()
    assert counter.book.purses == {"anna": Purse(9, 10), "bert": Purse(0, 0)}
    assert counter.book.entries == {}


@gen_test
async def test_a_refusal_is_not_remembered() -> None:
    counter = Counter(anna=(0, 0), bert=(0, 0))
    with pytest.raises(InsufficientGold):
        await counter.give()
    counter.book.purses["anna"] = Purse(20, 0)
    assert await counter.give() == {"status": "success", "gold": 0, "income": 0}


@pytest.mark.parametrize("room", [True, False])
@gen_test
async def test_of_the_same_request_twice_at_once_the_second_gets_the_firsts_answer(
    room: bool,
) -> None:
    counter = Counter(room=room)
    find, answers = counter.book.find, []

    async def find_too_early(key: str) -> Any:
        """The other one is written after we have looked."""
        counter.book.find = find  # type: ignore[method-assign]
        answers.append(await counter.give())
        return None

    counter.book.find = find_too_early  # type: ignore[method-assign]
    assert await counter.give() == answers[0]
    assert counter.book.purses["anna"] == Purse(80, 10)
    assert len(counter.book.entries) == 1


@gen_test
async def test_of_two_requests_with_one_id_at_once_the_other_content_is_refused() -> None:
    counter = Counter()
    find = counter.book.find

    async def find_too_early(key: str) -> Any:
        counter.book.find = find  # type: ignore[method-assign]
        await counter.give(replace(ROSE, num=1))
        return None

    counter.book.find = find_too_early  # type: ignore[method-assign]
    with pytest.raises(RequestIdReused):
        await counter.give()
    assert counter.book.purses["anna"] == Purse(90, 10)


@gen_test
async def test_without_a_request_id_every_gift_is_a_new_one() -> None:
    counter = Counter()
    for gold in (80, 60):
        assert (await counter.give(NO_ID))["gold"] == gold
    assert len(counter.book.entries) == 2
    assert counter.book.asked_since == []


@gen_test
async def test_within_the_repeat_window_an_identical_gift_counts_as_a_retry() -> None:
    counter, present = Counter(), replace(NO_ID, repeat_ms=500)
    first = await counter.give(present)
    assert await counter.give(present) == first
    assert (await counter.give(replace(present, num=1)))["gold"] == 70
    assert counter.book.asked_since == [500] * 3


@gen_test
async def test_a_request_id_says_more_than_the_repeat_window() -> None:
    counter, present = Counter(), replace(ROSE, repeat_ms=500)
    await counter.give(present)
    assert (await counter.give(replace(present, request_id="r2")))["gold"] == 60
    assert counter.book.asked_since == []


@gen_test
async def test_a_gift_that_costs_nothing_is_given_all_the_same() -> None:
    counter = Counter(anna=(3, 4), bert=(0, 0))
    answer = await counter.give(replace(ROSE, gold=0))
    assert answer == {"status": "success", "gold": 3, "income": 4}
    assert counter.book.entries["gift:anna:r1"].lines == ()


@gen_test
async def test_gold_is_granted_by_the_house() -> None:
    counter = Counter()
    assert await counter.grant() == {"gold": 50, "income": 0}
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


# ---- reversals


@gen_test
async def test_a_reversal_gives_everything_back_once() -> None:
    counter = Counter(anna=(15, 10), bert=(0, 0))
    await counter.give()
    for _ in range(2):
        answer = await counter.teller.reverse("gift:anna:r1", "by mistake", "ops")
        assert answer == {"reverses": "gift:anna:r1"}
    assert counter.book.purses == {"anna": Purse(15, 10), "bert": Purse(0, 0)}
    entry = counter.book.entries["reversal:gift:anna:r1"]
    assert (entry.kind, entry.by, entry.note) == ("reversal", "ops", "by mistake")
    assert entry.content == {"reverses": "gift:anna:r1"}
    assert counter.holds.names[-1] == ("anna", "bert")


@gen_test
async def test_what_somebody_does_not_have_any_more_is_not_taken() -> None:
    counter = Counter()
    await counter.grant(50)
    counter.book.purses["bert"] = Purse(49, 0)
    with pytest.raises(InsufficientGold):
        await counter.teller.reverse("grant:g1", "by mistake", "ops")
    assert counter.book.purses["bert"] == Purse(49, 0)


@gen_test
async def test_a_reversal_and_a_recharge_are_not_reversed_and_nothing_else_is() -> None:
    counter = Counter()
    await counter.grant(50)
    await counter.teller.reverse("grant:g1", "by mistake", "ops")
    with pytest.raises(NotReversible):
        await counter.teller.reverse("reversal:grant:g1", "by mistake", "ops")
    with pytest.raises(NoSuchEntry):
        await counter.teller.reverse("grant:g2", "by mistake", "ops")
