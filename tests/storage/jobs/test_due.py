"""The query of what is due, on the collections that have it."""

from datetime import UTC, datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from storage.database import Document
from storage.jobs.due import claim_due, due_now
from storage.payouts.withdrawals import WithdrawalStore
from storage.refund_cases import RefundCaseStore
from tests.storage.test_indexes import plan_stages
from tests.support.storage import StoresFixture, build_indexes

gen_test = pytest.mark.gen_test(timeout=30)
HOUR = timedelta(hours=1)
OPEN = 200


@pytest.fixture(params=["refund_cases", "withdrawals"])
def collection(request: pytest.FixtureRequest, io_loop: IOLoop, stores: StoresFixture) -> str:
    name = str(request.param)
    store = RefundCaseStore if name == "refund_cases" else WithdrawalStore
    build_indexes(io_loop, stores.database, store(stores.database))
    return name


@gen_test
async def test_what_is_due_is_found_among_many_that_are_not_by_one_key(
    stores: StoresFixture, collection: str
) -> None:
    rows = stores.database.collection(collection)
    now = datetime.now(UTC)
    open_ = [{"_id": f"{n}", "request_id": f"{n}", "due_at": now + HOUR} for n in range(OPEN)]
    closed = [{"_id": f"-{n}", "request_id": f"-{n}", "due_at": None} for n in range(OPEN)]
    await rows.insert_many([*open_, *closed])

    async def examined() -> Document:
        query = {"find": collection, "filter": due_now(), "sort": {"due_at": 1}, "limit": 1}
        explained = await stores.database._db.command(
            {"explain": query, "verbosity": "executionStats"}
        )
        stages = plan_stages(explained["queryPlanner"]["winningPlan"])
        assert not {"COLLSCAN", "SORT"} & {stage["stage"] for stage in stages}
        return dict(explained["executionStats"])

    assert (await examined())["totalKeysExamined"] <= 1
    await rows.update_one({"_id": "7"}, {"$set": {"due_at": now - HOUR}})
    stats = await examined()
    assert (stats["nReturned"], stats["totalKeysExamined"], stats["totalDocsExamined"]) == (1, 1, 1)
    claimed = [await claim_due(rows, HOUR) for _ in range(2)]
    assert [row and row["_id"] for row in claimed] == ["7", None]
