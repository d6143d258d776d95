"""The catalogue is cached and read again when it may have changed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from realtime.bus import Bus
from services.gold import catalogue as module
from services.gold.catalogue import CatalogueService
from storage.gold.catalogue import GiftStore
from tests.support.storage import StoresFixture

ROSE: dict[str, Any] = {"name": "rose", "image": "https://gifts/rose", "gold": 1, "effect": ""}


class RacingGiftStore(GiftStore):
    """Each read is followed by one of `after_read`, a concurrent change."""

    after_read: list[Callable[[], Awaitable[object]]]

    async def all(self) -> list[dict[str, Any]]:
        rows = await super().all()
        if self.after_read:
            await self.after_read.pop(0)()
        return rows


class CatalogueFixture:
    """Catalogue services of two processes on one bus, and two stored gifts."""

    def __init__(self, stores: StoresFixture, commands: list[str]) -> None:
        self.stores = stores
        self.bus = Bus()
        self.gifts_store = RacingGiftStore(stores.database)
        self.gifts_store.after_read = []
        self.service, self.other_service = (
            CatalogueService(self.gifts_store, stores.configs, self.bus) for _ in range(2)
        )
        self._commands = commands

    async def fill(self) -> None:
        for gold in (1, 5):
            await self.gifts_store.add(**{**ROSE, "gold": gold})
        for key, value in (("EXCHANGE_RATE", 0.5), ("NOTICE", 1)):
            await self.stores.configs.add(key=key, value=value, enabled=True)

    async def price(self) -> object:
        """Price of the first gift."""
        return (await self.service.current()).gifts[1]["gold"]

    async def change_gift(self, catalogue: CatalogueService) -> None:
        await catalogue.change(self.gifts_store, {"id": 1}, {"gold": 7})

    async def reads_database(self, catalogue: CatalogueService | None = None) -> bool:
        """Whether the current catalogue has to be read from the database."""
        self._commands.clear()
        await (catalogue or self.service).current()
        assert self._commands in ([], ["find"] * 2)
        return bool(self._commands)


@pytest.fixture
def catalogues(io_loop: IOLoop, stores: StoresFixture, commands: list[str]) -> CatalogueFixture:
    catalogues = CatalogueFixture(stores, commands)
    io_loop.run_sync(catalogues.fill)
    return catalogues


# ---- reading


async def test_the_catalogue_is_read_once_in_display_order(catalogues: CatalogueFixture) -> None:
    catalogue = await catalogues.service.current()
    assert [*catalogue.gifts] == [1, 2]
    assert catalogue.gifts[1] == {"id": 1, **ROSE}
    assert catalogue.rate == Decimal("0.5")
    assert not await catalogues.reads_database()


async def test_callers_during_a_read_use_its_result_while_the_bus_is_healthy(
    catalogues: CatalogueFixture, commands: list[str]
) -> None:
    late: list[asyncio.Future[Any]] = []

    async def call_again() -> None:
        late.extend(asyncio.ensure_future(catalogues.service.current()) for _ in range(100))
        await asyncio.sleep(0)

    catalogues.gifts_store.after_read = [call_again]
    commands.clear()
    first = await catalogues.service.current()
    assert all(catalogue is first for catalogue in await asyncio.gather(*late))
    assert commands == ["find"] * 2


# ---- invalidation


async def test_after_a_change_each_process_reads_once(catalogues: CatalogueFixture) -> None:
    both = (catalogues.service, catalogues.other_service)
    for catalogue in both:
        await catalogue.current()
    await catalogues.change_gift(catalogues.service)
    for expected in (True, False):
        reads = [await catalogues.reads_database(catalogue) for catalogue in both]
        assert reads == [expected] * 2


async def test_nothing_is_cached_while_the_bus_is_unhealthy(catalogues: CatalogueFixture) -> None:
    assert await catalogues.price() == 1
    catalogues.bus.healthy = False
    for gold in (7, 8):
        await catalogues.gifts_store.edit(1, gold=gold)
        assert await catalogues.price() == gold
    catalogues.bus.healthy, catalogues.bus.gaps = True, 1
    assert await catalogues.reads_database()
    assert not await catalogues.reads_database()


async def test_a_rate_of_yesterday_is_not_served_after_midnight(
    catalogues: CatalogueFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2026, 3, 1, 4, tzinfo=UTC)

    def set_time(now: datetime) -> None:
        monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda _zone: now))

    set_time(noon)
    row = {**await catalogues.stores.configs.get(1)}
    await catalogues.service.change(catalogues.stores.configs, row, {"value": 0.25})
    midnight = noon + timedelta(hours=12)
    for now, rate, reads in (
        (noon, "0.5", True),
        (midnight - timedelta(seconds=1), "0.5", False),
        (midnight, "0.25", True),
    ):
        set_time(now)
        for catalogue in (catalogues.service, catalogues.other_service):
            assert await catalogues.reads_database(catalogue) is reads
            assert (await catalogue.current()).rate == Decimal(rate)


# ---- changes during a read


async def test_a_change_during_a_read_is_not_lost(catalogues: CatalogueFixture) -> None:
    async def edit_and_read() -> None:
        await catalogues.change_gift(catalogues.other_service)
        assert await catalogues.price() == 7

    catalogues.gifts_store.after_read = [edit_and_read]
    assert [await catalogues.price() for _ in range(2)] == [1, 7]
    assert not await catalogues.reads_database()
