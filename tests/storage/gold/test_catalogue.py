"""Catalogues of gifts, recharge blocks and configs on a real MongoDB."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from core.errors import StartupError
from storage.database import Collection
from storage.errors import BlockNotFound, NothingWaits, RateRequired
from storage.gold.catalogue import DEFAULTS
from tests.support.storage import StoresFixture

FEW = DEFAULTS[-3:]


# ---- items


async def test_items_are_numbered_from_one_and_no_number_is_reused(stores: StoresFixture) -> None:
    rose = await stores.gifts.add(name="rose", gold=1)
    assert rose == await stores.gifts.get(1) == {"id": 1, "name": "rose", "gold": 1}
    await stores.gifts.remove(1)
    many = await asyncio.gather(*(stores.gifts.add(name="x") for _ in range(10)))
    assert sorted(row["id"] for row in many) == list(range(2, 12))


# ---- configs


async def add(stores: StoresFixture, key: str, value: Any, *, enabled: bool = True) -> int:
    row = await stores.configs.add(key=key, value=value, enabled=enabled, remark="")
    return int(row["id"])


async def test_json_values_are_stored_unchanged(stores: StoresFixture) -> None:
    for value in ("text", 1, 1.5, None, True, ["a"], {"a.b": {"$c": 2**70}}):
        number = await add(stores, "KEY", value)
        assert (await stores.configs.get(number))["value"] == value
        assert (await stores.configs.edit(number, value=[value]))["value"] == [value]
        assert (await stores.configs.edit(number, remark="r"))["value"] == [value]


async def test_a_rate_has_one_row_and_is_missing_without_a_valid_value(
    stores: StoresFixture,
) -> None:
    now, configs = datetime.now(UTC), stores.configs
    assert await configs.rates(now) == {"EXCHANGE_RATE": None, "WITHDRAW_RATE": None}
    await stores.make_indexes()
    await add(stores, "EXCHANGE_RATE", 0.4)
    adding = (add(stores, "WITHDRAW_RATE", 0.1) for _ in range(3))
    added = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(one) for one in added].count(RateRequired) == 2
    rates = {"EXCHANGE_RATE": Decimal("0.4"), "WITHDRAW_RATE": Decimal("0.1")}
    assert await configs.rates(now) == rates
    await configs.edit(1, value="half")
    assert await configs.rates(now) == rates | {"EXCHANGE_RATE": None}


async def test_a_start_on_several_rows_of_a_rate_says_what_to_do(stores: StoresFixture) -> None:
    await stores.rows("configs").drop_indexes()
    for value in (0.1, 0.2):
        await add(stores, "EXCHANGE_RATE", value)
    with pytest.raises(StartupError, match=r"EXCHANGE_RATE .* delete all but"):
        await stores.make_indexes()
    await stores.configs.remove(1)
    await stores.make_indexes()


# ---- changes at a time


async def test_a_change_applies_from_its_time_on_and_can_be_withdrawn_until_then(
    stores: StoresFixture,
) -> None:
    now, configs, blocks = datetime.now(UTC), stores.configs, stores.blocks
    past, soon = now - timedelta(seconds=1), now + timedelta(hours=1)
    number = await add(stores, "WITHDRAW_RATE", 0.1)

    async def change(value: object, at: datetime) -> dict[str, Any]:
        return await configs.edit(number, next={"fields": {"value": value}, "at": at})

    waiting = await change(0.2, soon)
    assert (waiting["value"], waiting["next"]["fields"]) == (0.1, {"value": 0.2})
    assert (await configs.edit(number, remark="why"))["next"] == waiting["next"]
    for at, rate in ((now, "0.1"), (soon, "0.2")):
        assert (await configs.rates(at))["WITHDRAW_RATE"] == Decimal(rate)
    unscheduled = await configs.unschedule(number)
    assert (unscheduled["value"], unscheduled["remark"], "next" in unscheduled) == (
        0.1,
        "why",
        False,
    )
    await change(0.3, past)
    for _ in range(2):
        with pytest.raises(NothingWaits):
            await configs.unschedule(number)
    assert (await change(0.4, soon))["value"] == 0.3, "what has come is not lost"
    assert (await configs.unschedule(number))["value"] == 0.3
    with pytest.raises(BlockNotFound):
        await blocks.unschedule(1)


async def test_recharge_blocks_are_sorted_by_the_price_that_applies(stores: StoresFixture) -> None:
    for fen in (600, 100, 600):
        await stores.blocks.add(fen=fen, gold=fen)
    dearer = {"fields": {"fen": 700}, "at": datetime.now(UTC)}
    await stores.blocks.edit(2, next=dearer)
    found = [(row["id"], row["fen"]) for row in await stores.blocks.all()]
    assert found == [(1, 600), (3, 600), (2, 700)]


# ---- defaults


async def test_a_start_killed_after_any_row_is_completed_once_by_any_number_of_others(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = stores.configs
    insert_one = AsyncCollection.insert_one

    async def insert_only_the_first(rows: Collection, row: dict[str, Any]) -> None:
        if row["_id"] > 1:
            raise ConnectionError  # SIGKILL, say
        await insert_one(rows, row)

    with monkeypatch.context() as killed:
        killed.setattr(AsyncCollection, "insert_one", insert_only_the_first)
        with pytest.raises(ConnectionError):
            await configs.store_defaults(FEW)
    await asyncio.gather(*(configs.store_defaults(FEW) for _ in range(4)))
    found = [(row["key"], row["value"]) for row in await configs.all()]
    assert found == [(row["key"], row["value"]) for row in FEW]
    assert (await configs.add(**FEW[0]))["id"] == len(FEW) + 1
