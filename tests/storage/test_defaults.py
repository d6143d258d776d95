"""Default rows are stored once each, whatever happens to a start."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storage import default_configs
from storage.configs import RATE_KEYS, ConfigStore
from storage.counters import CounterStore
from storage.database import Database
from storage.default_configs import DEFAULTS, store_default_configs
from storage.defaults import DefaultRowStore
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
ALL = [(config["key"], config["value"]) for config in DEFAULTS.values()]


class Start:
    """The part of a server's start that stores the default configs."""

    def __init__(self, database: Database) -> None:
        counters = CounterStore(database)
        self.counters = counters
        self.configs = ConfigStore(database, counters)
        self.defaults = DefaultRowStore(database, counters)

    async def run(self) -> None:
        await store_default_configs(self.defaults, self.configs)

    async def stored(self) -> list[tuple[str, Any]]:
        return [(row["key"], row["value"]) for row in await self.configs.all()]

    async def number(self, key: str) -> int:
        return next(row["id"] for row in await self.configs.all() if row["key"] == key)


@pytest.fixture
def start(stores: StoresFixture) -> Start:
    return Start(stores.database)


async def seed_as_before(start: Start, count: int = len(DEFAULTS)) -> None:
    """The first `count` defaults, as the version without `defaults` stored them."""
    for config in [*DEFAULTS.values()][:count]:
        await start.configs.add(**config)


class Killed(Exception):
    """Ends a start, as SIGKILL would."""


class DyingCollection:
    """A collection whose process is killed once `calls` is used up."""

    def __init__(self, collection: Any, calls: list[None]) -> None:
        self._collection = collection
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if not self._calls:
            raise Killed
        self._calls.pop()
        return getattr(self._collection, name)


async def run_until_killed(start: Start, after: int) -> bool:
    """Ends the start before its next call of the database; False if it makes fewer calls."""
    calls: list[None] = [None] * after
    for store, name in (
        (start.configs, "_rows"),
        (start.defaults, "_documents"),
        (start.counters, "_counters"),
    ):
        setattr(store, name, DyingCollection(getattr(store, name), calls))
    try:
        await start.run()
    except Killed:
        return True
    return False


# ---- the first start


@gen_test
async def test_a_start_killed_after_any_command_is_completed_by_the_next(
    stores: StoresFixture, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("PROGRAM_SHARE_1", "PROGRAM_SHARE_2", *RATE_KEYS)
    few = {name: DEFAULTS[name] for name in names}
    monkeypatch.setattr(default_configs, "DEFAULTS", few)
    killed_after = 0
    while await run_until_killed(Start(stores.database), killed_after):
        await start.run()
        keys = [key for key, _ in await start.stored()]
        assert keys == [config["key"] for config in few.values()], killed_after
        for name in ("configs", "defaults", "counters"):
            await stores.database.collection(name).delete_many({})
        killed_after += 1
    assert killed_after > 3 * len(few)


@gen_test
async def test_starts_at_once_store_each_default_once(stores: StoresFixture, start: Start) -> None:
    await asyncio.gather(*(Start(stores.database).run() for _ in range(4)))
    assert await start.stored() == ALL


# ---- later starts


@gen_test
async def test_edited_and_deleted_defaults_stay_as_the_operator_left_them(start: Start) -> None:
    await start.run()
    await start.configs.edit(await start.number("INDEX_BANNER"), value="mine")
    await start.configs.edit(await start.number("EXCHANGE_RATE"), value=0.3)
    await start.configs.edit(await start.number("WITHDRAW_RATE"), enabled=False)
    await start.configs.remove(await start.number("PROGRAM_SHARE"))
    await start.configs.remove(await start.number("BACKGROUND"))
    before = await start.configs.all()
    await start.run()
    assert await start.configs.all() == before


@gen_test
async def test_a_deleted_rate_is_stored_again_once(stores: StoresFixture, start: Start) -> None:
    await start.run()
    await start.configs.remove(await start.number("EXCHANGE_RATE"))
    await asyncio.gather(*(Start(stores.database).run() for _ in range(4)))
    assert sorted(map(str, await start.stored())) == sorted(map(str, ALL))
    await start.configs.remove(await start.number("EXCHANGE_RATE"))
    await start.run()
    assert sorted(map(str, await start.stored())) == sorted(map(str, ALL))


class RacingConfigStore(ConfigStore):
    """Each read of all rows is followed by one of `after_read`, a concurrent start."""

    after_read: list[Callable[[], Awaitable[object]]]

    async def all(self) -> list[dict[str, Any]]:
        rows = await super().all()
        if self.after_read:
            await self.after_read.pop(0)()
        return rows


@pytest.mark.parametrize("reads_before", [0, 1])
@gen_test
async def test_a_rate_that_another_start_has_just_stored_again_is_not_doubled(
    stores: StoresFixture, start: Start, reads_before: int
) -> None:
    await start.run()
    await start.configs.remove(await start.number("EXCHANGE_RATE"))
    racing = Start(stores.database)
    racing.configs = configs = RacingConfigStore(stores.database, racing.counters)
    configs.after_read = [lambda: asyncio.sleep(0)] * reads_before + [start.run]
    await racing.run()
    assert [key for key, _ in await start.stored()].count("EXCHANGE_RATE") == 1


# ---- a database of the version before


@pytest.mark.parametrize("count", range(len(DEFAULTS) + 1))
@gen_test
async def test_a_half_filled_database_of_the_version_before_is_completed(
    start: Start, count: int
) -> None:
    await seed_as_before(start, count)
    await start.counters.next("configs")  # of the row that was not stored any more
    await start.run()
    assert await start.stored() == ALL


@gen_test
async def test_rows_that_an_operator_changed_in_the_version_before_stay(start: Start) -> None:
    await seed_as_before(start)
    await start.configs.edit(2, value={"title": "mine", "src": ""})
    await start.configs.edit(await start.number("INDEX_BANNER"), value="mine")
    await start.configs.edit(await start.number("EXCHANGE_RATE"), value=0.3)
    await start.configs.remove(await start.number("BACKGROUND"))
    await start.configs.remove(1)
    before = await start.configs.all()
    for _ in range(2):
        await start.run()
        assert await start.configs.all() == before


@gen_test
async def test_rows_added_to_a_half_filled_database_get_no_duplicate(start: Start) -> None:
    await seed_as_before(start, 6)
    await start.configs.edit(6, value={"title": "edited", "src": ""})
    await start.configs.add(key="EXCHANGE_RATE", value=0.3, enabled=True, remark="")
    await start.configs.add(key="NOTICE", value=1, enabled=True, remark="")
    await start.run()
    keys = [key for key, _ in await start.stored()]
    assert sorted(keys) == sorted(["NOTICE", *(key for key, _ in ALL)])
    assert ("EXCHANGE_RATE", 0.3) in await start.stored()
    assert ("LIVEROOM_SHARE", {"title": "edited", "src": ""}) in await start.stored()


@gen_test
async def test_duplicates_of_two_starts_of_the_version_before_stay(start: Start) -> None:
    for config in DEFAULTS.values():
        await start.configs.add(**config)
        await start.configs.add(**config)
    await start.run()
    assert len(await start.stored()) == 2 * len(ALL)
