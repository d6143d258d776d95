"""What there is to give is kept in memory, and read again when it may have changed."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from handlers import catalogue as module
from handlers.catalogue import OLD_SECONDS, Catalogue
from realtime.bus import Arrived, LocalBus, Revoked, Stirred
from storage.gifts import Gifts
from tests.phones import Phone, Street
from tests.storage import conftest as storage
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=20)
commands, database, house = storage.commands, storage.database, storage.house
ROSE: dict[str, Any] = {"name": "rose", "image": "https://gifts/rose", "gold": 1, "effect": ""}


class BusyGifts(Gifts):
    """Of what stands in `meanwhile`, one thing each happens when all have just been read."""

    meanwhile: list[Callable[[], Awaitable[object]]]

    async def all(self) -> list[dict[str, Any]]:
        rows = await super().all()
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        return rows


class Shop:
    """The catalogues of two processes on one bus, and two gifts on the shelf."""

    def __init__(self, house: House, commands: list[str]) -> None:
        self.house = house
        self.bus = LocalBus()
        self.shelf = BusyGifts(house.database, house.gifts._counters)
        self.shelf.meanwhile = []
        self.mine, self.other = self.catalogue(), self.catalogue()
        self._commands = commands

    def catalogue(self) -> Catalogue:
        return Catalogue(self.shelf, self.house.configs, self.bus)

    async def fill(self) -> None:
        for gold in (1, 5):
            await self.shelf.add(**{**ROSE, "gold": gold})
        await self.house.configs.add(key="EXCHANGE_RATE", value=0.5, enabled=True)

    async def price(self, catalogue: Catalogue | None = None) -> int:
        """Of the first gift."""
        gold = (await (catalogue or self.mine).wares()).gifts[1]["gold"]
        assert isinstance(gold, int)
        return gold

    async def edit(self, gold: int) -> None:
        await self.shelf.edit(1, gold=gold)

    async def reads(self, catalogue: Catalogue | None = None) -> bool:
        """Whether it is read anew for this."""
        self._commands.clear()
        await (catalogue or self.mine).wares()
        assert self._commands in ([], ["find"] * 3)
        return bool(self._commands)


@pytest.fixture
def shop(io_loop: IOLoop, house: House, commands: list[str]) -> Shop:
    shop = Shop(house, commands)
    io_loop.run_sync(shop.fill)
    return shop


class Clock:
    """What the catalogue goes by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


# ---- what is kept


@gen_test
async def test_all_that_there_is_is_read_in_the_order_in_which_it_is_shown(shop: Shop) -> None:
    wares = await shop.mine.wares()
    assert [*wares.gifts] == [1, 2]
    assert wares.gifts[1] == {"id": 1, **ROSE}
    assert wares.rate == Decimal("0.5")


@gen_test
async def test_it_is_read_once(shop: Shop) -> None:
    assert [await shop.reads() for _ in range(3)] == [True, False, False]


@gen_test
async def test_nothing_to_give_is_kept_as_well(shop: Shop) -> None:
    for number in (1, 2):
        await shop.shelf.remove(number)
    assert (await shop.mine.wares()).gifts == {}
    assert not await shop.reads()


# ---- when it is read again


@gen_test
async def test_after_an_edit_every_process_reads_again_once(shop: Shop) -> None:
    both = (shop.mine, shop.other)
    assert [await shop.price(it) for it in both] == [1, 1]
    await shop.edit(7)
    shop.mine.edited()
    assert [await shop.price(it) for it in both] == [7, 7]
    assert [await shop.reads(it) for it in both] == [False, False]


@gen_test
async def test_the_receivers_share_is_read_again_as_well(shop: Shop) -> None:
    assert (await shop.mine.wares()).rate == Decimal("0.5")
    await shop.house.configs.edit(1, value=0.29)
    shop.other.edited()
    assert (await shop.mine.wares()).rate == Decimal("0.29")


@pytest.mark.parametrize("message", [Stirred(1), Revoked("hash"), Arrived(1, "e", "2", 3)])
@gen_test
async def test_what_else_is_said_on_the_bus_is_no_matter(shop: Shop, message: Any) -> None:
    await shop.mine.wares()
    shop.bus.publish(message)
    assert not await shop.reads()


@gen_test
async def test_it_is_read_again_when_the_bus_may_have_missed_something(shop: Shop) -> None:
    assert await shop.price() == 1
    await shop.edit(7)
    assert await shop.price() == 1, "nobody has said so yet"
    shop.bus.gaps += 1
    assert await shop.price() == 7
    assert not await shop.reads()


@gen_test
async def test_nothing_is_kept_while_the_bus_is_unhealthy(shop: Shop) -> None:
    assert await shop.price() == 1
    shop.bus.healthy = False
    for gold in (7, 8):
        await shop.edit(gold)
        assert await shop.price() == gold
    shop.bus.healthy, shop.bus.gaps = True, 1
    assert await shop.reads()
    assert not await shop.reads()


@gen_test
async def test_it_is_read_again_after_a_while_whatever_was_not_heard(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    assert await shop.price() == 1
    await shop.edit(7)
    clock.now += OLD_SECONDS - 0.01
    assert await shop.price() == 1
    clock.now += 0.02
    assert await shop.price() == 7
    clock.now += OLD_SECONDS - 0.01
    assert not await shop.reads()


# ---- an edit while it is read


@gen_test
async def test_an_edit_during_the_read_is_not_lost(shop: Shop) -> None:
    async def edit() -> None:
        await shop.edit(7)
        shop.other.edited()

    shop.shelf.meanwhile = [edit]
    assert await shop.price() == 1, "as it was when it was asked for"
    assert await shop.price() == 7
    assert not await shop.reads()


@gen_test
async def test_a_gap_during_the_read_is_not_lost(shop: Shop) -> None:
    async def miss() -> None:
        await shop.edit(7)
        shop.bus.gaps += 1

    shop.shelf.meanwhile = [miss]
    assert [await shop.price() for _ in range(2)] == [1, 7]


@gen_test
async def test_a_read_that_took_long_does_not_hide_a_later_one(shop: Shop) -> None:
    async def edit_and_read() -> None:
        await shop.edit(7)
        shop.other.edited()
        assert await shop.price() == 7

    shop.shelf.meanwhile = [edit_and_read]
    assert [await shop.price() for _ in range(2)] == [1, 7]


@gen_test
async def test_the_age_of_what_is_kept_counts_from_before_the_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)

    async def take_long() -> None:
        clock.now += OLD_SECONDS

    shop.shelf.meanwhile = [take_long]
    await shop.mine.wares()
    assert await shop.reads()


# ---- at the counter


async def give(phone: Phone, to: str, gift_id: int) -> Any:
    return await phone.get("qlive_gift/push_gift/", user_id=to, gift_id=gift_id, num=1)


async def prices(phone: Phone) -> dict[int, int]:
    """As they are shown, on two pages."""
    pages = [(await phone.get("qlive_gift/", page=number)).ok() for number in (1, 2)]
    return {gift["id"]: gift["gold"] for page in pages for gift in page["results"]}


@gen_test
async def test_an_operators_new_price_counts_for_the_next_gift(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    assert (await give(anna, bert.id, 1)).ok()["gold"] == 99
    (await street.ops("PATCH", "gifts/1", gold=20)).ok()
    assert (await give(anna, bert.id, 1)).ok()["gold"] == 79
    assert (await prices(anna))[1] == 20


@gen_test
async def test_an_operators_new_gift_can_be_given_at_once_and_a_removed_one_no_more(
    street: Street,
) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    assert 1 in await prices(anna)
    new = (await street.ops("POST", "gifts", **{**ROSE, "gold": 30})).ok()["id"]
    assert (await prices(anna))[new] == 30
    assert (await give(anna, bert.id, new)).ok()["gold"] == 70
    (await street.ops("DELETE", f"gifts/{new}")).ok()
    assert new not in await prices(anna)
    assert (await give(anna, bert.id, new)).refusal == (404, "no_such_gift")


@gen_test
async def test_a_gift_that_was_removed_is_still_answered_to_whoever_has_given_it(
    street: Street,
) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    ask = {"user_id": bert.id, "gift_id": 1, "num": 1, "request_id": "r"}
    first = (await anna.get("qlive_gift/push_gift/", **ask)).ok()
    (await street.ops("DELETE", "gifts/1")).ok()
    assert (await anna.get("qlive_gift/push_gift/", **ask)).ok() == first
    other = await anna.get("qlive_gift/push_gift/", **{**ask, "num": 2})
    assert other.refusal == (409, "request_id_reused")


@gen_test
async def test_an_operators_new_share_counts_for_the_next_gift(street: Street) -> None:
    configs = (await street.ops("GET", "configs")).ok()["items"]
    rate = next(row["id"] for row in configs if row["key"] == "EXCHANGE_RATE")
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    (await give(anna, bert.id, 2)).ok()
    (await street.ops("PATCH", f"configs/{rate}", value=1)).ok()
    (await give(anna, bert.id, 2)).ok()
    assert (await bert.get("qlive_user/get_userinfo/")).ok()["income"] == 2 + 5
    (await street.ops("DELETE", f"configs/{rate}")).ok()
    (await give(anna, bert.id, 2)).ok()
    assert (await bert.get("qlive_user/get_userinfo/")).ok()["income"] == 7
