"""Claims of what is due, and leases of jobs, on a real MongoDB."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from tornado.ioloop import IOLoop

from storage.database import Database
from storage.documents import make_partial_index
from storage.jobs.due import BEFORE_ANY, JobLeaseStore, claim_due, claim_unchanged, due_now
from tests.storage.test_indexes import plan_stages
from tests.support.storage import NAME

HOUR = timedelta(hours=1)
OPEN = 200


class FastClock(datetime):
    """The clock of a process that is a day ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + 24 * HOUR


async def test_what_is_due_is_found_among_many_that_are_not_by_one_key(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = database.collection("due_things")
    await make_partial_index(rows, "due_at", BEFORE_ANY)
    now = datetime.now(UTC)
    open_ = [{"_id": f"{n}", "due_at": now + HOUR} for n in range(OPEN)]
    closed = [{"_id": f"-{n}", "due_at": None} for n in range(OPEN)]
    await rows.insert_many([*open_, *closed])

    async def examined() -> list[int]:
        query = {"find": rows.name, "filter": due_now(), "sort": {"due_at": 1}, "limit": 1}
        explained = await database.client[NAME].command(
            {"explain": query, "verbosity": "executionStats"}
        )
        assert not {"COLLSCAN", "SORT"} & {stage["stage"] for stage in plan_stages(explained)}
        stats = explained["executionStats"]
        return [stats["nReturned"], stats["totalKeysExamined"], stats["totalDocsExamined"]]

    assert await examined() <= [0, 1, 1]
    await rows.update_one({"_id": "7"}, {"$set": {"due_at": now - HOUR}})
    assert await examined() == [1, 1, 1]
    claimed = await asyncio.gather(*(claim_due(rows, HOUR) for _ in range(4)))
    assert [row["_id"] for row in claimed if row] == ["7"]
    monkeypatch.setattr("storage.jobs.due.datetime", FastClock)
    assert await claim_due(rows, HOUR) is None, "by the clock of the database"


async def test_of_processes_that_have_read_the_same_rows_one_claims_each(
    database: Database,
) -> None:
    rows, read = database.collection("things"), [{"_id": n, "claims": 0} for n in range(10)]
    await rows.insert_many(read)
    updates = [(row, {"$set": {"claims": 1}}) for row in read]
    claims = await asyncio.gather(*(claim_unchanged(rows, updates[n:]) for n in range(8)))
    assert sorted(id_ for claimed in claims for id_ in claimed) == [*range(10)]


# ---- jobs


@pytest.fixture
def leases(io_loop: IOLoop, database: Database) -> JobLeaseStore:
    return JobLeaseStore(database)


async def acquire_at_once(leases: JobLeaseStore) -> list[bool]:
    return sorted(await asyncio.gather(*(leases.acquire("check", 3600) for _ in range(12))))


async def test_job_is_acquired_once_until_it_is_due_again(leases: JobLeaseStore) -> None:
    assert await acquire_at_once(leases) == [False] * 11 + [True]
    assert await leases.acquire("another", 3600)
    await leases.release("check", -1)
    assert await acquire_at_once(leases) == [False] * 11 + [True]
    await leases.release("check", 3600)
    assert not await leases.acquire("check", 3600)


async def test_the_result_of_the_latest_start_is_stored(leases: JobLeaseStore) -> None:
    assert await leases.last_result("check") == {}
    for at, stored in ((2.0, 2.0), (1.0, 2.0), (3.0, 3.0)):
        await leases.store_result("check", {"problems": 1, "at": at})
        assert await leases.last_result("check") == {"problems": 1, "at": stored}
    assert await leases.acquire("check", 3600), "a result is no lease"
