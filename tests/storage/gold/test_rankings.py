"""Rankings on a real MongoDB: as they are read, compared with the ledger, and rebuilt."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection
from tornado.ioloop import IOLoop

from core.clock import day_of
from ledger.gifts import RankingChange, day_scope, live_scope
from rooms.members import Person
from tests.support.gift_fixture import GiftFixture
from tests.support.storage import StoresFixture, rose
from tests.support.stored_rooms import open_room

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


# ---- against the ledger


class RankingFixture(GiftFixture):
    """Three users in a live room and one outside.

    anna has given 20 to carl and 10 to dora, who is outside; bert has given 10 to carl.
    """

    async def populate(self) -> None:
        self.rows = self.stores.rows("rankings")
        self.live = live_scope(self.live_id, "e1")
        self.user_ids += await self.stores.create_users((1_000, 0))
        anna, bert, carl, dora = self.user_ids
        for sender, receiver in ((anna, carl), (bert, carl), (anna, carl), (anna, dora)):
            await self.process.give(rose(sender, receiver))
        first, *_ = await self.stores.entries()
        self.day = day_scope(day_of(first["at"]))

    async def differences(self, scope: str) -> list[tuple[str, str]]:
        """Differences on one snapshot, as the reconciler reads them."""
        async with self.stores.database.client.start_session(snapshot=True) as session:
            return await self.stores.rankings.differences(scope, session)

    async def scopes(self) -> list[str]:
        async with self.stores.database.client.start_session(snapshot=True) as session:
            return sorted(await self.stores.rankings.scopes(None, session))

    async def stored(self, scope: str) -> dict[str, dict[str, int]]:
        units = ("gold", "income")
        return {unit: dict(await self.stores.rankings.top(scope, unit, 50)) for unit in units}

    async def is_consistent(self) -> bool:
        return not any([await self.differences(scope) for scope in await self.scopes()])


Damage = Callable[[RankingFixture, str], Awaitable[object]]


def alter_row(rankings: RankingFixture, scope: str) -> Awaitable[object]:
    row = {"_id": f"{scope}:{rankings.user_ids[0]}"}
    return rankings.rows.update_one(row, {"$inc": {"income": 7}})


def delete_row(rankings: RankingFixture, scope: str) -> Awaitable[object]:
    return rankings.rows.delete_one({"_id": f"{scope}:{rankings.user_ids[0]}"})


def invent_row(rankings: RankingFixture, _scope: str) -> Awaitable[object]:
    fields = {"scope": "live:9:e", "user_id": rankings.user_ids[0], "gold": 1, "income": 0}
    return rankings.rows.insert_one({"_id": f"live:9:e:{rankings.user_ids[0]}", **fields})


@pytest.fixture
def rankings(io_loop: IOLoop, stores: StoresFixture) -> RankingFixture:
    rankings: RankingFixture = io_loop.run_sync(
        lambda: RankingFixture.create(stores, *[(1_000, 0)] * 3)
    )
    io_loop.run_sync(rankings.populate)
    return rankings


# ---- sums


async def test_rankings_of_lives_and_days_match_the_ledger(rankings: RankingFixture) -> None:
    anna, bert, carl, dora = rankings.user_ids
    await rankings.end()
    await open_room(rankings.stores, Person(anna), Person(carl), epoch="e2")
    await rankings.process.give(rose(carl, anna, gold=1_010))  # 10 of them paid with income
    assert await rankings.stores.balance(carl) == (0, 5)
    assert await rankings.stored(rankings.live) == {
        "gold": {anna: 20, bert: 10},
        "income": {carl: 15},
    }
    assert await rankings.stored(live_scope(rankings.live_id, "e2")) == {
        "gold": {carl: 1_010},
        "income": {anna: 505},
    }
    assert await rankings.stored(rankings.day) == {
        "gold": {anna: 30, bert: 10, carl: 1_010},
        "income": {carl: 15, dora: 5, anna: 505},
    }
    assert await rankings.is_consistent()


async def test_day_ranking_follows_china_time(rankings: RankingFixture) -> None:
    anna, bert, _, _ = rankings.user_ids
    journal = rankings.stores.rows("ledger")
    midnight = datetime(2026, 1, 1, 16, tzinfo=UTC)
    for giver, at in ((anna, midnight - timedelta(milliseconds=1)), (bert, midnight)):
        gifts = {"kind": "gift", "by": giver}
        await journal.update_many(gifts, {"$set": {"at": at}})
    await rankings.rows.delete_many({})
    days = {"day:2026-01-01", "day:2026-01-02"}
    assert days < {*await rankings.scopes()}, "found in the ledger alone"
    await rankings.stores.rankings.rebuild_all()
    assert (await rankings.stored("day:2026-01-01"))["gold"] == {anna: 30}
    assert (await rankings.stored("day:2026-01-02"))["gold"] == {bert: 10}


# ---- differences


@pytest.mark.parametrize(
    ("damage", "description"),
    [
        (alter_row, "stored (20, 7), journal (20, 0)"),
        (delete_row, "stored (0, 0), journal (20, 0)"),
        (invent_row, "stored (1, 0), journal (0, 0)"),
    ],
)
async def test_wrong_row_is_reported_and_repaired_and_keeps_counting(
    rankings: RankingFixture, damage: Damage, description: str
) -> None:
    anna, _, carl, _ = rankings.user_ids
    await damage(rankings, rankings.live)
    (wrong_scope,) = [
        scope for scope in await rankings.scopes() if await rankings.differences(scope)
    ]
    assert wrong_scope == ("live:9:e" if damage is invent_row else rankings.live)
    assert await rankings.differences(wrong_scope) == [(anna, description)]
    await alter_row(rankings, rankings.day)
    assert await rankings.stores.rankings.rebuild_all() == 2
    assert await rankings.is_consistent()
    await rankings.process.give(rose(anna, carl))
    assert await rankings.is_consistent()
    assert await rankings.stores.rankings.rebuild_all() == 0
    assert (await rankings.stored(rankings.live))["gold"][anna] == 30


# ---- concurrency


@pytest.mark.parametrize("damage", [alter_row, delete_row])
@pytest.mark.parametrize("sender", [0, 1], ids=["sender_of_wrong_row", "other_sender"])
async def test_gift_between_snapshot_and_repair_is_not_lost(
    rankings: RankingFixture, monkeypatch: pytest.MonkeyPatch, damage: Damage, sender: int
) -> None:
    await damage(rankings, rankings.live)
    write = AsyncCollection.bulk_write

    async def give_and_write(*args: Any) -> Any:
        monkeypatch.undo()
        await rankings.process.give(rose(rankings.user_ids[sender], rankings.user_ids[2]))
        return await write(*args)

    monkeypatch.setattr(AsyncCollection, "bulk_write", give_and_write)
    assert await rankings.stores.rankings.rebuild(rankings.live) == 1
    assert await rankings.is_consistent()
    gold = (await rankings.stored(rankings.live))["gold"]
    assert sum(gold.values()) == 30 + 10
