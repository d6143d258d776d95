import pytest

from storage.migrations.batches import update_in_batches
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_every_matching_document_is_changed_once(stores: StoresFixture) -> None:
    rows = stores.database.collection("counters")
    await rows.insert_many([{"_id": f"{n:02}", "n": n} for n in range(25)])
    odd = {"$expr": {"$eq": [{"$mod": ["$n", 2]}, 1]}}
    change = {"$inc": {"n": 100}, "$set": {"changed": True}}
    assert await update_in_batches(rows, odd | {"changed": None}, change, batch=4) == 12
    assert [row["n"] async for row in rows.find({"changed": True}).sort("n", 1)] == [
        100 + n for n in range(1, 25, 2)
    ]
    assert await update_in_batches(rows, odd | {"changed": None}, change, batch=4) == 0
