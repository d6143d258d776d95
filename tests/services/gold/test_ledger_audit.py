"""The periodic ledger check: incremental on every run, full once a day."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.recharge import Order
from services.gold.ledger_audit import (
    FULL_SECONDS,
    JOB_NAME,
    OVERLAP_SECONDS,
    UNKNOWN,
    LedgerAudit,
    incremental_from,
)
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.jobs.due import JobLeaseStore
from tests.support.gift_fixture import GiftFixture
from tests.support.storage import StoresFixture

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LAST = {"problems": 0, "known": 0, "at": 90_000.0, "full_at": 5_000.0}


@pytest.mark.parametrize(
    ("last", "now", "since"),
    [
        ({}, 1_000.0, None),
        (LAST, 90_300.0, 90_000 - OVERLAP_SECONDS),
        (LAST, 5_000.0 + FULL_SECONDS, 90_000 - OVERLAP_SECONDS),
        (LAST, 5_001.0 + FULL_SECONDS, None),
        ({**LAST, "problems": 1, "known": 1}, 90_300.0, None),
        ({**LAST, "problems": UNKNOWN}, 90_600.0, 90_000 - OVERLAP_SECONDS),
    ],
    ids=["first", "next", "within a day", "after a day", "known problem", "failed check"],
)
def test_a_check_is_full_at_first_once_a_day_and_while_problems_are_known(
    last: dict[str, Any], now: float, since: float | None
) -> None:
    expected = datetime.fromtimestamp(since, UTC) if since else None
    assert incremental_from(last, now) == expected


async def run_check(stores: StoresFixture) -> dict[str, Any]:
    """The result of a check by a new process, as if it were due."""
    await stores.database.collection("job_leases").update_many({}, {"$unset": {"due_at": ""}})
    audit = audit_of(stores)
    await audit.run_if_due()
    return audit.last


def audit_of(stores: StoresFixture) -> LedgerAudit:
    database = stores.database
    return LedgerAudit(JobLeaseStore(database), LedgerReconciler(database), stores.orders)


async def test_a_problem_of_any_age_is_reported_until_it_is_fixed(stores: StoresFixture) -> None:
    fixture = await GiftFixture.create(stores, (100, 0), (0, 0))
    users, ledger = (stores.database.collection(name) for name in ("users", "ledger"))
    anna = {"_id": fixture.user_ids[0]}
    await fixture.process.give(fixture.rose())
    assert (await run_check(stores))["problems"] == 0
    await users.update_one(anna, {"$inc": {"gold": 1}})
    await ledger.update_many({"seq": None}, {"$set": {"at": LONG_AGO}})
    assert (await run_check(stores))["problems"] == 1, "the gift is newer than the last check"
    await ledger.update_many({}, {"$set": {"at": LONG_AGO}})
    assert (await run_check(stores))["problems"] > 0, "no entry is new"
    await users.update_one(anna, {"$inc": {"gold": -1}})
    await stores.rankings.rebuild_all()
    result = await run_check(stores)
    assert (result["problems"], result["gold"]) == (0, 90)


async def test_a_failed_check_is_stored_as_unknown(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a test")

    monkeypatch.setattr(LedgerReconciler, "problems", fail)
    with pytest.raises(RuntimeError, match="a test"):
        await run_check(stores)
    assert (await JobLeaseStore(stores.database).last_result(JOB_NAME))["problems"] == UNKNOWN


async def test_the_oldest_unpaid_order_counts_unless_wechat_no_longer_knows_it(
    stores: StoresFixture,
) -> None:
    """WeChat answers an abandoned order of xpay with an error, so that it stays open."""
    audit, rows = audit_of(stores), stores.database.collection("orders")
    for n, (provider, hours, oldest) in enumerate(
        (("xpay", 5, 0), ("xpay", 1, 1), ("jsapi", 5, 5))
    ):
        order = Order(f"Q{n}", "anna", provider, "wx1", "o1", "", fen=600, gold=60)
        await stores.orders.open(order, n, n)
        created_at = datetime.now(UTC) - timedelta(hours=hours)
        await rows.update_one({"_id": order.number}, {"$set": {"created_at": created_at}})
        await audit.run_if_due()
        assert audit.oldest_unpaid // 3600 == oldest
