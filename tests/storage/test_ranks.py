import pytest

from money.rank import Mark
from storage.database import Session
from storage.ranks import MOST
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)
LIVE, DAY = "live:1:e", "day:2026-01-02"


async def add(house: House, *marks: Mark) -> None:
    await house.database.transaction(lambda session: house.ranks.add(marks, session))


def gave(gold: int, *people: str, scope: str = LIVE) -> list[Mark]:
    return [Mark(scope, who, gold, 0) for who in people]


@gen_test
async def test_a_ranking_shows_the_highest_first_and_equals_by_their_number(house: House) -> None:
    await add(house, *gave(5, "4", "2"), *gave(9, "3"), *gave(7, "1"), *gave(5, "3", scope=DAY))
    assert await house.ranks.top(LIVE, "gold") == [("3", 9), ("1", 7), ("2", 5), ("4", 5)]
    assert await house.ranks.top(DAY, "gold") == [("3", 5)]
    assert await house.ranks.top("live:1:f", "gold") == []


@gen_test
async def test_who_gave_and_who_took_are_two_rankings(house: House) -> None:
    await add(house, Mark(LIVE, "1", 10, 3), Mark(LIVE, "2", 4, 8), Mark(LIVE, "3", 0, 1))
    assert await house.ranks.top(LIVE, "gold") == [("1", 10), ("2", 4)]
    assert await house.ranks.top(LIVE, "income") == [("2", 8), ("1", 3), ("3", 1)]


@gen_test
async def test_what_is_added_sums_up(house: House) -> None:
    await add(house, *gave(5, "1"), *gave(6, "1"), *gave(7, "1", scope=DAY))
    await add(house, *gave(4, "1"))
    assert await house.ranks.top(LIVE, "gold") == [("1", 15)]
    assert await house.ranks.top(DAY, "gold") == [("1", 7)]


@gen_test
async def test_whoever_has_nothing_left_is_not_shown(house: House) -> None:
    mark = Mark(LIVE, "1", 5, 2)
    await add(house, mark, *gave(3, "2"))
    await add(house, mark.negated())
    assert await house.ranks.top(LIVE, "gold") == [("2", 3)]
    assert await house.ranks.top(LIVE, "income") == []


@gen_test
async def test_no_more_are_shown_than_wanted(house: House) -> None:
    await add(house, *(Mark(LIVE, f"{n:03}", n, n) for n in range(1, MOST + 5)))
    shown = await house.ranks.top(LIVE, "gold")
    assert [amount for _, amount in shown] == [*range(MOST + 4, 4, -1)]
    assert await house.ranks.top(LIVE, "income", 2) == [("054", 54), ("053", 53)]


@gen_test
async def test_nothing_to_add_is_no_write(house: House, commands: list[str]) -> None:
    commands.clear()
    await add(house)
    assert commands == []


@gen_test
async def test_what_a_transaction_that_failed_has_added_is_not_there(house: House) -> None:
    async def work(session: Session) -> None:
        await house.ranks.add(gave(5, "1"), session)
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        await house.database.transaction(work)
    assert await house.ranks.top(LIVE, "gold") == []
