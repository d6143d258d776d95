import asyncio

import pytest

from storage.database import Database
from storage.jobs.due import JobLeaseStore

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_job_is_acquired_once_until_it_is_due_again(database: Database) -> None:
    await database.collection("job_leases").delete_many({})
    leases = JobLeaseStore(database)
    acquired = await asyncio.gather(*(leases.acquire("check", 3600) for _ in range(12)))
    assert sorted(acquired) == [False] * 11 + [True]
    assert await leases.acquire("another", 3600)
    past = [{"$set": {"due_at": {"$subtract": ["$$NOW", 1]}}}]
    await database.collection("job_leases").update_one({"_id": "check"}, past)
    acquired = await asyncio.gather(*(leases.acquire("check", 3600) for _ in range(12)))
    assert sorted(acquired) == [False] * 11 + [True]


@gen_test
async def test_last_result_is_stored(database: Database) -> None:
    await database.collection("job_leases").delete_many({})
    leases = JobLeaseStore(database)
    assert await leases.last_result("check") == {}
    await leases.store_result("check", {"problems": 3, "at": 1.0})
    assert await leases.acquire("check", 3600)
    await leases.store_result("check", {"problems": 0, "at": 2.0})
    assert await leases.last_result("check") == {"problems": 0, "at": 2.0}
    assert not await leases.acquire("check", 3600)


@gen_test
async def test_older_result_does_not_overwrite_a_newer_result(database: Database) -> None:
    await database.collection("job_leases").delete_many({})
    leases = JobLeaseStore(database)
    await leases.store_result("check", {"problems": 1, "at": 2.0})
    await leases.store_result("check", {"problems": 0, "at": 1.0})
    assert await leases.last_result("check") == {"problems": 1, "at": 2.0}


@gen_test
async def test_released_job_is_due_after_its_delay(database: Database) -> None:
    await database.collection("job_leases").delete_many({})
    leases = JobLeaseStore(database)
    assert await leases.acquire("check", 3600)
    await leases.release("check", -1)
    assert await leases.acquire("check", 3600)
    await leases.release("check", 3600)
    assert not await leases.acquire("check", 3600)
