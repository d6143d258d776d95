import asyncio

import pytest

from storage.errors import BlockNotFound, GiftNotFound
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_items_are_numbered_from_one_and_read_back(stores: StoresFixture) -> None:
    rose = await stores.gifts.add(name="rose", gold=1)
    assert rose == {"id": 1, "name": "rose", "gold": 1}
    assert (await stores.gifts.add(name="car", gold=9))["id"] == 2
    assert await stores.gifts.get(1) == rose


@gen_test
async def test_item_ids_are_never_reused(stores: StoresFixture) -> None:
    await stores.gifts.add(name="rose")
    await stores.gifts.remove(1)
    assert (await stores.gifts.add(name="car"))["id"] == 2
    many = await asyncio.gather(*(stores.gifts.add(name="x") for _ in range(10)))
    assert sorted(row["id"] for row in many) == list(range(3, 13))


@gen_test
async def test_edit_changes_only_the_given_fields(stores: StoresFixture) -> None:
    await stores.gifts.add(name="rose", gold=1)
    assert await stores.gifts.edit(1, gold=2) == {"id": 1, "name": "rose", "gold": 2}
    assert await stores.gifts.edit(1) == {"id": 1, "name": "rose", "gold": 2}
    assert await stores.gifts.get(1) == {"id": 1, "name": "rose", "gold": 2}


@gen_test
async def test_missing_item_raises_the_error_of_its_kind(stores: StoresFixture) -> None:
    for store, missing in ((stores.gifts, GiftNotFound), (stores.blocks, BlockNotFound)):
        for action in (store.get(9), store.edit(9, gold=1), store.edit(9), store.remove(9)):
            with pytest.raises(missing):
                await action


@gen_test
async def test_recharge_blocks_are_sorted_by_price(stores: StoresFixture) -> None:
    for fen in (600, 100, 600):
        await stores.blocks.add(fen=fen, gold=fen)
    assert [row["id"] for row in await stores.blocks.all()] == [2, 1, 3]
