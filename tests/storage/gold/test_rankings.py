"""Rankings as they are stored and read, on a real MongoDB."""

from ledger.gifts import RankingChange
from tests.support.storage import StoresFixture

LIVE, DAY = "live:1:e", "day:2026-01-02"


async def add(stores: StoresFixture, *changes: RankingChange) -> None:
    await stores.database.transaction(lambda session: stores.rankings.add(changes, session))


async def test_givers_and_receivers_are_ranked_by_sum_then_user_id(stores: StoresFixture) -> None:
    change = RankingChange(LIVE, "5", 5, 2)
    await add(
        stores,
        RankingChange(LIVE, "4", 5, 0),
        RankingChange(LIVE, "2", 2, 8),
        RankingChange(LIVE, "2", 3, 1),
        RankingChange(LIVE, "3", 9, 3),
        RankingChange(DAY, "3", 7, 0),
        change,
    )
    await add(stores, RankingChange(LIVE, "3", 1, 0), change.negated())
    assert await stores.rankings.top(LIVE, "gold", 50) == [("3", 10), ("2", 5), ("4", 5)]
    assert await stores.rankings.top(LIVE, "gold", 2) == [("3", 10), ("2", 5)]
    assert await stores.rankings.top(LIVE, "income", 50) == [("2", 9), ("3", 3)]
    assert await stores.rankings.top(DAY, "gold", 50) == [("3", 7)]
    assert await stores.rankings.top("live:1:f", "gold", 50) == []


async def test_empty_change_sends_no_command(stores: StoresFixture, commands: list[str]) -> None:
    commands.clear()
    await add(stores)
    assert commands == []
