"""Writes of one atomic change, on a real MongoDB."""

from typing import Any

import pytest

from core.errors import WriteConflict
from storage.write_batch import WriteBatch
from tests.support.storage import StoresFixture

NAME = "plain"


async def commit(stores: StoresFixture, batch: WriteBatch) -> None:
    await stores.database.transaction(lambda session: batch.execute(stores.database, session))


async def documents(stores: StoresFixture) -> list[dict[str, Any]]:
    return await stores.database.collection(NAME).find().sort("_id", 1).to_list()


async def fill(stores: StoresFixture, *rows: dict[str, Any]) -> None:
    await stores.database.collection(NAME).delete_many({})
    await stores.database.collection(NAME).insert_many([*rows])


async def test_all_writes_to_a_collection_take_one_command_of_each_kind(
    stores: StoresFixture, commands: list[str]
) -> None:
    await fill(stores, {"_id": 1}, {"_id": 2}, {"_id": 3})
    batch = WriteBatch()
    batch.insert(NAME, {"_id": 4}, {"_id": 5})
    batch.update(NAME, {"_id": 1}, {"$set": {"n": 1}})
    batch.replace(NAME, {"_id": 2}, {"n": 2})
    batch.delete(NAME, {"_id": 3})
    batch.upsert(NAME, {"_id": 6}, {"$inc": {"n": 6}})
    batch.update_if_present(NAME, {"_id": 7}, {"$inc": {"n": 7}})
    assert len(batch) == 7
    commands.clear()
    await commit(stores, batch)
    assert sorted(commands) == ["commitTransaction", "delete", "insert", "update", "update"]
    assert await documents(stores) == [
        {"_id": 1, "n": 1},
        {"_id": 2, "n": 2},
        {"_id": 4},
        {"_id": 5},
        {"_id": 6, "n": 6},
    ]


@pytest.mark.parametrize("kind", ["insert", "update", "replace", "delete"])
async def test_a_write_whose_guard_fails_undoes_the_others(
    stores: StoresFixture, kind: str
) -> None:
    await fill(stores, {"_id": 1, "v": 1})
    batch = WriteBatch()
    batch.insert(NAME, {"_id": 2})
    batch.upsert("rankings", {"_id": "x"}, {"$inc": {"gold": 1}})
    other = {"_id": 1, "v": 0}
    match kind:
        case "insert":
            batch.insert(NAME, {"_id": 1})
        case "update":
            batch.update(NAME, other, {"$set": {"v": 2}})
        case "replace":
            batch.replace(NAME, other, {"v": 2})
        case "delete":
            batch.delete(NAME, other)
    with pytest.raises(WriteConflict):
        await commit(stores, batch)
    assert await documents(stores) == [{"_id": 1, "v": 1}]
    assert await stores.database.collection("rankings").find_one({}) is None


async def test_joined_batches_have_the_writes_of_all(stores: StoresFixture) -> None:
    await fill(stores, {"_id": 1})
    one, two = WriteBatch(), WriteBatch()
    one.update(NAME, {"_id": 1}, {"$set": {"n": 1}})
    two.insert(NAME, {"_id": 2})
    two.upsert(NAME, {"_id": 3}, {"$set": {"n": 3}})
    await commit(stores, WriteBatch.joined([one, two]))
    assert await documents(stores) == [{"_id": 1, "n": 1}, {"_id": 2}, {"_id": 3, "n": 3}]
    assert (len(one), len(two)) == (1, 2)
