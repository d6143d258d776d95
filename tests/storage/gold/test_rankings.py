import pytest

from ledger.gifts import RankingChange
from storage.database import Session
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
LIVE, DAY = "live:1:e", "day:2026-01-02"


async def add(stores: StoresFixture, *changes: RankingChange) -> None:
    await stores.database.transaction(lambda session: stores.rankings.add(changes, session))


def given(gold: int, *user_ids: str, scope: str = LIVE) -> list[RankingChange]:
    return [RankingChange(scope, user_id, gold, 0) for user_id in user_ids]


@gen_test
async def test_ranking_is_sorted_by_amount_then_user_id(stores: StoresFixture) -> None:
    await add(
        stores, *given(5, "4", "2"), *given(9, "3"), *given(7, "1"), *given(5, "3", scope=DAY)
    )
    assert await stores.rankings.top(LIVE, "gold", 50) == [("3", 9), ("1", 7), ("2", 5), ("4", 5)]
    assert await stores.rankings.top(DAY, "gold", 50) == [("3", 5)]
    assert await stores.rankings.top("live:1:f", "gold", 50) == []


@gen_test
async def test_givers_and_receivers_are_ranked_separately(stores: StoresFixture) -> None:
    await add(
        stores,
        RankingChange(LIVE, "1", 10, 3),
        RankingChange(LIVE, "2", 4, 8),
        RankingChange(LIVE, "3", 0, 1),
    )
    assert await stores.rankings.top(LIVE, "gold", 50) == [("1", 10), ("2", 4)]
    assert await stores.rankings.top(LIVE, "income", 50) == [("2", 8), ("1", 3), ("3", 1)]


@gen_test
async def test_amounts_of_a_user_are_summed(stores: StoresFixture) -> None:
    await add(stores, *given(5, "1"), *given(6, "1"), *given(7, "1", scope=DAY))
    await add(stores, *given(4, "1"))
    assert await stores.rankings.top(LIVE, "gold", 50) == [("1", 15)]
    assert await stores.rankings.top(DAY, "gold", 50) == [("1", 7)]


@gen_test
async def test_user_with_zero_amount_is_not_ranked(stores: StoresFixture) -> None:
    change = RankingChange(LIVE, "1", 5, 2)
    await add(stores, change, *given(3, "2"))
    await add(stores, change.negated())
    assert await stores.rankings.top(LIVE, "gold", 50) == [("2", 3)]
    assert await stores.rankings.top(LIVE, "income", 50) == []


@gen_test
async def test_ranking_is_cut_at_the_limit(stores: StoresFixture) -> None:
    await add(stores, *(RankingChange(LIVE, f"{n:03}", n, n) for n in range(1, 55)))
    ranking = await stores.rankings.top(LIVE, "gold", 50)
    assert [amount for _, amount in ranking] == [*range(54, 4, -1)]
    assert await stores.rankings.top(LIVE, "income", 2) == [("054", 54), ("053", 53)]


@gen_test
async def test_empty_change_sends_no_command(stores: StoresFixture, commands: list[str]) -> None:
    commands.clear()
    await add(stores)
    assert commands == []


@gen_test
async def test_change_of_an_aborted_transaction_is_not_stored(stores: StoresFixture) -> None:
    async def work(session: Session) -> None:
        await stores.rankings.add(given(5, "1"), session)
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        await stores.database.transaction(work)
    assert await stores.rankings.top(LIVE, "gold", 50) == []
