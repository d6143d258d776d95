"""The catalogue is cached and read again when it may have changed."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from core.errors import NotFound
from realtime.bus import AudienceChanged, Bus, ConnectionOpened, TokenRevoked
from services.gold import catalogue as module
from services.gold.catalogue import TTL_SECONDS, CatalogueService
from storage.errors import GiftNotFound
from storage.gold.catalogue import GiftStore
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import give
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
        self.service, self.other_service = self.catalogue(), self.catalogue()
        self._commands = commands

    def catalogue(self) -> CatalogueService:
        return CatalogueService(self.gifts_store, self.stores.configs, self.bus)

    async def fill(self) -> None:
        for gold in (1, 5):
            await self.gifts_store.add(**{**ROSE, "gold": gold})
        for key, value in (("EXCHANGE_RATE", 0.5), ("NOTICE", 1)):
            await self.stores.configs.add(key=key, value=value, enabled=True)

    async def price(self, catalogue: CatalogueService | None = None) -> int:
        """Price of the first gift."""
        gold = (await (catalogue or self.service).current()).gifts[1]["gold"]
        assert isinstance(gold, int)
        return gold

    async def edit(self, gold: int) -> None:
        await self.gifts_store.edit(1, gold=gold)

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


class Clock:
    """The clock of the cache."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


# ---- reading


async def test_gifts_are_read_in_display_order(catalogues: CatalogueFixture) -> None:
    catalogue = await catalogues.service.current()
    assert [*catalogue.gifts] == [1, 2]
    assert catalogue.gifts[1] == {"id": 1, **ROSE}
    assert catalogue.rate == Decimal("0.5")


async def test_the_catalogue_is_read_once(catalogues: CatalogueFixture) -> None:
    assert [await catalogues.reads_database() for _ in range(3)] == [True, False, False]


async def test_an_empty_catalogue_is_cached_too(catalogues: CatalogueFixture) -> None:
    for number in (1, 2):
        await catalogues.gifts_store.remove(number)
    assert (await catalogues.service.current()).gifts == {}
    assert not await catalogues.reads_database()


async def test_concurrent_callers_share_a_read_while_the_bus_is_unhealthy(
    catalogues: CatalogueFixture, commands: list[str]
) -> None:
    catalogues.bus.healthy = False
    commands.clear()
    await asyncio.gather(*(catalogues.service.current() for _ in range(100)))
    assert commands == ["find"] * 2


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


async def test_callers_during_a_read_share_the_next_while_the_bus_is_unhealthy(
    catalogues: CatalogueFixture, commands: list[str]
) -> None:
    """An edit that they must see may be older than their call and newer than the read."""
    late: list[asyncio.Future[int]] = []

    async def edit_and_call() -> None:
        await catalogues.edit(7)
        late.extend(asyncio.ensure_future(catalogues.price()) for _ in range(100))
        await asyncio.sleep(0)

    catalogues.bus.healthy = False
    catalogues.gifts_store.after_read = [edit_and_call]
    commands.clear()
    assert await catalogues.price() == 1
    assert await asyncio.gather(*late) == [7] * 100
    assert commands.count("find") == 4


# ---- invalidation


async def test_after_an_edit_every_process_reads_once(catalogues: CatalogueFixture) -> None:
    both = (catalogues.service, catalogues.other_service)
    assert [await catalogues.price(it) for it in both] == [1, 1]
    await catalogues.change_gift(catalogues.service)
    assert [await catalogues.price(it) for it in both] == [7, 7]
    assert [await catalogues.reads_database(it) for it in both] == [False, False]


async def test_a_changed_exchange_rate_is_read_again(catalogues: CatalogueFixture) -> None:
    assert (await catalogues.service.current()).rate == Decimal("0.5")
    rate = await catalogues.stores.configs.get(1)
    await catalogues.other_service.change(catalogues.stores.configs, rate, {"value": 0.29})
    assert (await catalogues.service.current()).rate == Decimal("0.29")


@pytest.mark.parametrize(
    ("store", "before", "fields", "gift_ids"),
    [
        ("gifts", {}, ROSE, [1, 2, 3]),
        ("gifts", {"id": 2}, {"gold": 7}, [1, 2]),
        ("gifts", {"id": 2}, None, [1]),
        ("configs", {}, {"key": "K", "value": 1, "enabled": True}, [1, 2]),
        ("configs", {"id": 1, "key": "EXCHANGE_RATE"}, {"value": 1, "enabled": True}, [1, 2]),
        ("configs", {"id": 2, "key": "NOTICE"}, None, [1, 2]),
    ],
)
async def test_every_kind_of_change_is_stored_and_invalidates(
    catalogues: CatalogueFixture,
    store: str,
    before: dict[str, Any],
    fields: dict[str, Any] | None,
    gift_ids: list[int],
) -> None:
    await catalogues.other_service.current()
    await catalogues.service.change(getattr(catalogues.stores, store), before, fields)
    assert await catalogues.reads_database(catalogues.other_service)
    assert [*(await catalogues.other_service.current()).gifts] == gift_ids


async def test_a_refused_change_does_not_invalidate(catalogues: CatalogueFixture) -> None:
    await catalogues.service.current()
    with pytest.raises(GiftNotFound):
        await catalogues.service.change(catalogues.gifts_store, {"id": 9}, {"gold": 7})
    renamed = {**await catalogues.stores.configs.get(2), "key": "BEFORE"}
    with pytest.raises(NotFound):
        await catalogues.service.change(catalogues.stores.configs, renamed, {"value": 7})
    assert (await catalogues.stores.configs.get(2))["value"] == 1
    assert not await catalogues.reads_database()


@pytest.mark.parametrize(
    "message", [AudienceChanged(1), TokenRevoked("hash"), ConnectionOpened(1, "e", "2", 3)]
)
async def test_other_bus_messages_do_not_invalidate(
    catalogues: CatalogueFixture, message: Any
) -> None:
    await catalogues.service.current()
    catalogues.bus.publish(message)
    assert not await catalogues.reads_database()


async def test_a_gap_of_the_bus_invalidates(catalogues: CatalogueFixture) -> None:
    assert await catalogues.price() == 1
    await catalogues.edit(7)
    assert await catalogues.price() == 1, "the edit is not published"
    catalogues.bus.gaps += 1
    assert await catalogues.price() == 7
    assert not await catalogues.reads_database()


async def test_the_catalogue_is_not_cached_while_the_bus_is_unhealthy(
    catalogues: CatalogueFixture,
) -> None:
    assert await catalogues.price() == 1
    catalogues.bus.healthy = False
    for gold in (7, 8):
        await catalogues.edit(gold)
        assert await catalogues.price() == gold
    catalogues.bus.healthy, catalogues.bus.gaps = True, 1
    assert await catalogues.reads_database()
    assert not await catalogues.reads_database()


async def test_the_cache_expires_without_any_message(
    catalogues: CatalogueFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    assert await catalogues.price() == 1
    await catalogues.edit(7)
    clock.now += TTL_SECONDS - 0.01
    assert await catalogues.price() == 1
    clock.now += 0.02
    assert await catalogues.price() == 7
    clock.now += TTL_SECONDS - 0.01
    assert not await catalogues.reads_database()


# ---- changes during a read


async def test_an_edit_during_a_read_is_not_lost(catalogues: CatalogueFixture) -> None:
    async def edit() -> None:
        await catalogues.change_gift(catalogues.other_service)

    catalogues.gifts_store.after_read = [edit]
    assert await catalogues.price() == 1, "as read before the edit"
    assert await catalogues.price() == 7
    assert not await catalogues.reads_database()


async def test_a_gap_during_a_read_is_not_lost(catalogues: CatalogueFixture) -> None:
    async def miss() -> None:
        await catalogues.edit(7)
        catalogues.bus.gaps += 1

    catalogues.gifts_store.after_read = [miss]
    assert [await catalogues.price() for _ in range(2)] == [1, 7]


async def test_a_slow_read_does_not_replace_a_newer_one(catalogues: CatalogueFixture) -> None:
    async def edit_and_read() -> None:
        await catalogues.change_gift(catalogues.other_service)
        assert await catalogues.price() == 7

    catalogues.gifts_store.after_read = [edit_and_read]
    assert [await catalogues.price() for _ in range(2)] == [1, 7]


async def test_the_cache_age_counts_from_the_start_of_the_read(
    catalogues: CatalogueFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)

    async def take_long() -> None:
        clock.now += TTL_SECONDS

    catalogues.gifts_store.after_read = [take_long]
    await catalogues.service.current()
    assert await catalogues.reads_database()


# ---- over HTTP


async def prices(client: ApiClient) -> dict[int, int]:
    """Prices by gift id, from two pages."""
    pages = [(await client.get("qlive_gift/", page=number)).ok() for number in (1, 2)]
    return {gift["id"]: gift["gold"] for page in pages for gift in page["results"]}


async def test_a_new_price_applies_to_the_next_gift(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    assert (await give(anna, bert.id, 1)).ok()["gold"] == 99
    (await api.ops("PATCH", "gifts/1", gold=20)).ok()
    assert (await give(anna, bert.id, 1)).ok()["gold"] == 79
    assert (await prices(anna))[1] == 20


async def test_a_new_gift_can_be_given_at_once_and_a_removed_one_cannot(
    api: ApiFixture,
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    assert 1 in await prices(anna)
    new = (await api.ops("POST", "gifts", **{**ROSE, "gold": 30})).ok()["id"]
    assert (await prices(anna))[new] == 30
    assert (await give(anna, bert.id, new)).ok()["gold"] == 70
    (await api.ops("DELETE", f"gifts/{new}")).ok()
    assert new not in await prices(anna)
    assert (await give(anna, bert.id, new)).refusal == (404, "no_such_gift")


async def test_a_repeated_request_for_a_removed_gift_gets_the_same_answer(
    api: ApiFixture,
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    ask = {"user_id": bert.id, "gift_id": 1, "num": 1, "request_id": "r"}
    first = (await anna.get("qlive_gift/push_gift/", **ask)).ok()
    (await api.ops("DELETE", "gifts/1")).ok()
    assert (await anna.get("qlive_gift/push_gift/", **ask)).ok() == first
    other_service = await anna.get("qlive_gift/push_gift/", **{**ask, "num": 2})
    assert other_service.refusal == (409, "request_id_reused")


async def test_a_new_exchange_rate_applies_to_the_next_gift(api: ApiFixture) -> None:
    configs = (await api.ops("GET", "configs")).ok()["items"]
    rate = next(row["id"] for row in configs if row["key"] == "EXCHANGE_RATE")
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    (await give(anna, bert.id, 2)).ok()
    (await api.ops("PATCH", f"configs/{rate}", value=1)).ok()
    (await give(anna, bert.id, 2)).ok()
    assert (await bert.get("qlive_user/get_userinfo/")).ok()["income"] == 2 + 5
