import asyncio

import pytest

from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_a_like_is_there_until_it_is_dropped_and_one_way(house: House) -> None:
    assert not await house.likes.has("anna", "bert")
    for _ in range(2):
        await house.likes.put("anna", "bert")
    assert await house.likes.has("anna", "bert")
    assert not await house.likes.has("bert", "anna")
    for _ in range(2):
        await house.likes.drop("anna", "bert")
    assert not await house.likes.has("anna", "bert")


@gen_test
async def test_the_same_like_many_times_at_once_is_one(house: House) -> None:
    await asyncio.gather(*(house.likes.put("anna", "bert") for _ in range(10)))
    assert await house.database.collection("likes").count_documents({}) == 1
