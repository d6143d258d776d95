"""Default rows are stored once each, whatever happens to a start."""

import asyncio
from typing import Any

import pytest

from storage.gold.catalogue import DEFAULTS, ConfigStore
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
FEW = DEFAULTS[-3:]


class Killed(Exception):
    """Ends a start, as SIGKILL would."""


class DyingCollection:
    """A collection whose process is killed after `calls` calls."""

    def __init__(self, collection: Any, calls: int) -> None:
        self._collection = collection
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        if not self._calls:
            raise Killed
        self._calls -= 1
        return getattr(self._collection, name)


async def keys(configs: ConfigStore) -> list[str]:
    return [row["key"] for row in await configs.all()]


@pytest.mark.parametrize("calls", range(len(FEW) + 1))
@gen_test
async def test_a_start_killed_after_any_row_is_completed_by_the_next(
    stores: StoresFixture, calls: int
) -> None:
    killed: Any = ConfigStore(stores.database)
    killed._rows = DyingCollection(killed._rows, calls)
    if calls < len(FEW):
        with pytest.raises(Killed):
            await killed.store_defaults(FEW)
    await stores.configs.store_defaults(FEW)
    assert await keys(stores.configs) == [row["key"] for row in FEW]
    assert (await stores.configs.add(**FEW[0]))["id"] == len(FEW) + 1


@gen_test
async def test_starts_at_once_store_each_default_once(stores: StoresFixture) -> None:
    await asyncio.gather(*(stores.configs.store_defaults(DEFAULTS) for _ in range(4)))
    assert [(row["key"], row["value"]) for row in await stores.configs.all()] == [
        (row["key"], row["value"]) for row in DEFAULTS
    ]


@gen_test
async def test_edited_and_deleted_defaults_stay_as_the_operator_left_them(
    stores: StoresFixture,
) -> None:
    await stores.configs.store_defaults(FEW)
    await stores.configs.edit(1, value="mine")
    await stores.configs.remove(3)
    before = await stores.configs.all()
    await stores.configs.store_defaults(FEW)
    assert await stores.configs.all() == before
