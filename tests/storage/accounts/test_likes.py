import asyncio

import pytest

from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_like_is_one_way_and_lasts_until_removed(stores: StoresFixture) -> None:
    assert not await stores.likes.has("anna", "bert")
    for _ in range(2):
        await stores.likes.put("anna", "bert")
    assert await stores.likes.has("anna", "bert")
    assert not await stores.likes.has("bert", "anna")
    for _ in range(2):
        await stores.likes.drop("anna", "bert")
    assert not await stores.likes.has("anna", "bert")


@gen_test
async def test_concurrent_identical_likes_are_stored_once(stores: StoresFixture) -> None:
    await asyncio.gather(*(stores.likes.put("anna", "bert") for _ in range(10)))
    assert await stores.database.collection("likes").count_documents({}) == 1
