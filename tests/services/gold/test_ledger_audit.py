"""The periodic ledger check: incremental on every run, full once a day."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from runtime.process import ServerProcess
from services.gold.ledger_audit import (
    FULL_SECONDS,
    JOB_NAME,
    OVERLAP_SECONDS,
    UNKNOWN,
    LedgerAudit,
    since_when,
)
from storage.jobs.due import JobLeaseStore
from tests.support.api import ApiFixture
from tests.support.demo_data import DemoData
from tests.support.gifts import give
from tests.support.waiting import until

Db = Database[dict[str, Any]]


@pytest.fixture
def initial_data(mongo: MongoClient[Any]) -> DemoData:
    """Let a new server begin with a check, as in production."""
    return DemoData(mongo, check_later=False)


@pytest.fixture
def jobs_wait() -> bool:
    return False


def test_the_first_check_is_full() -> None:
    assert since_when({}, 1_000.0) is None


def test_the_next_check_covers_new_entries_with_an_overlap() -> None:
    last = {"known": 0, "at": 10_000.0, "full_at": 9_000.0}
    since = since_when(last, 10_300.0)
    assert since == datetime.fromtimestamp(10_000 - OVERLAP_SECONDS, UTC)


def test_a_check_is_full_once_a_day() -> None:
    last = {"known": 0, "at": 90_000.0, "full_at": 5_000.0}
    assert since_when(last, 5_000.0 + FULL_SECONDS) is not None
    assert since_when(last, 5_001.0 + FULL_SECONDS) is None


def test_checks_are_full_while_problems_are_known() -> None:
    last = {"problems": 1, "known": 1, "at": 10_000.0, "full_at": 10_000.0}
    assert since_when(last, 10_300.0) is None


def test_a_failed_check_is_repeated_from_its_start() -> None:
    last = {"problems": UNKNOWN, "known": 0, "at": 10_000.0, "full_at": 9_000.0}
    assert since_when(last, 10_600.0) == datetime.fromtimestamp(10_000 - OVERLAP_SECONDS, UTC)


class FreeJobLeaseStore(JobLeaseStore):
    """Grants every lease."""

    async def acquire(self, name: str, seconds: float) -> bool:
        del name, seconds
        return True


async def audit_of(server: ServerProcess) -> LedgerAudit:
    """Another audit of the server's ledger, after the server's own first check."""
    await until(lambda: bool(server.context.services.ledger_audit.last))
    context = server.context
    return LedgerAudit(
        FreeJobLeaseStore(context.database),
        context.services.ledger_audit.reconciler,
        context.stores.orders,
    )


async def run_check(audit: LedgerAudit) -> dict[str, Any]:
    await audit.run_if_due()
    return audit.last


async def test_a_problem_of_any_age_is_reported_until_it_is_fixed(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    host, audit = await api.host(), await audit_of(server)
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id)).ok()
    assert (await run_check(audit))["problems"] == 0
    db.users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    db.ledger.update_many({"seq": None}, {"$set": {"at": long_ago}})
    assert (await run_check(audit))["problems"] == 1, "the gift is newer than the last check"
    db.ledger.update_many({}, {"$set": {"at": long_ago}})
    assert (await run_check(audit))["problems"] > 0, "no entry is new"
    db.users.update_one({"_id": anna.id}, {"$inc": {"gold": -1}})
    await server.context.stores.rankings.rebuild_all()
    result = await run_check(audit)
    assert (result["problems"], result["gold"]) == (0, 95)


async def test_an_incremental_check_covers_only_changed_balances(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1, gold=1)
    now = datetime.now(UTC)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert db.ledger.update_many({"by": "demo"}, {"$set": {"at": long_ago}}).modified_count
    (await give(anna, bert.id)).ok()
    carl = await api.user("carl", 1)
    db.users.update_one({"_id": carl.id}, {"$inc": {"gold": 1}})
    assert await server.context.services.ledger_audit.reconciler.problems(now) == []
    db.users.update_one({"_id": bert.id}, {"$inc": {"income": 1}})
    (problem,) = await server.context.services.ledger_audit.reconciler.problems(now)
    assert (problem.kind, problem.what) == ("balance", f"user:{bert.id}")
    assert len(await server.context.services.ledger_audit.reconciler.problems()) == 2


async def test_a_failed_check_is_stored_as_unknown(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_since: object) -> None:
        raise RuntimeError("a test")

    audit = await audit_of(server)
    monkeypatch.setattr(audit.reconciler, "problems", fail)
    with pytest.raises(RuntimeError, match="a test"):
        await run_check(audit)
    assert (await audit.job_leases.last_result(JOB_NAME))["problems"] == UNKNOWN


async def test_an_earlier_result_does_not_hide_problems_found_later(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    anna, audit = await api.user("anna", 2, gold=100), await audit_of(server)
    await run_check(audit)
    earlier_result = {**audit.last, "problems": 0}
    db.users.update_one({"_id": anna.id}, {"$inc": {"gold": 1}})
    assert len(await server.context.services.ledger_audit.check()) == 1
    await audit.job_leases.store_result(JOB_NAME, earlier_result)
    assert (await audit.job_leases.last_result(JOB_NAME))["problems"] == 1
