import asyncio

import pytest

from rooms.refusals import NoSuchBlock, NoSuchGift
from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_what_is_put_up_is_numbered_from_one_and_comes_back(house: House) -> None:
    assert await house.gifts.empty()
    rose = await house.gifts.add(name="rose", gold=1)
    assert rose == {"id": 1, "name": "rose", "gold": 1}
    assert (await house.gifts.add(name="car", gold=9))["id"] == 2
    assert await house.gifts.get(1) == rose
    assert not await house.gifts.empty()


@gen_test
async def test_a_number_is_never_given_again(house: House) -> None:
    await house.gifts.add(name="rose")
    await house.gifts.remove(1)
    assert (await house.gifts.add(name="car"))["id"] == 2
    many = await asyncio.gather(*(house.gifts.add(name="x") for _ in range(10)))
    assert sorted(row["id"] for row in many) == list(range(3, 13))


@gen_test
async def test_only_the_fields_named_are_edited(house: House) -> None:
    await house.gifts.add(name="rose", gold=1)
    assert await house.gifts.edit(1, gold=2) == {"id": 1, "name": "rose", "gold": 2}
    assert await house.gifts.edit(1) == {"id": 1, "name": "rose", "gold": 2}
    assert await house.gifts.get(1) == {"id": 1, "name": "rose", "gold": 2}


@gen_test
async def test_what_is_not_there_is_refused_by_its_name(house: House) -> None:
    for shelf, missing in ((house.gifts, NoSuchGift), (house.blocks, NoSuchBlock)):
        for action in (shelf.get(9), shelf.edit(9, gold=1), shelf.edit(9), shelf.remove(9)):
            with pytest.raises(missing):
                await action


@gen_test
async def test_blocks_stand_by_price(house: House) -> None:
    for fen in (600, 100, 600):
        await house.blocks.add(fen=fen, gold=fen)
    assert [row["id"] for row in await house.blocks.all()] == [2, 1, 3]
