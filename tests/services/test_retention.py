"""Retention of audit entries, unpaid orders and failed outbox messages, under a moved clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from config.sections import RetentionSettings
from ledger.recharge import Order, Payment
from services import retention
from services.retention import RetentionSweep
from storage.audit import AuditStore
from storage.database import Session
from storage.job_leases import JobLeaseStore
from storage.orders import new_number
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)
SETTINGS = RetentionSettings()


def sweep_of(stores: StoresFixture, settings: RetentionSettings = SETTINGS) -> RetentionSweep:
    return RetentionSweep(
        JobLeaseStore(stores.database),
        AuditStore(stores.database),
        stores.orders,
        stores.outbox,
        settings,
    )


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


async def closed_order(stores: StoresFixture, name: str) -> str:
    order = Order(f"{name}{new_number()}", "1", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
    await stores.orders.add(order, 1, 0)
    await stores.orders.close(order.number)
    return order.number


async def order_names(stores: StoresFixture) -> list[str]:
    rows = await stores.database.collection("orders").find().to_list()
    return sorted(row["_id"].partition("Q")[0] for row in rows)


@gen_test
async def test_audit_entries_are_deleted_after_their_days(stores: StoresFixture) -> None:
    audit, sweep = AuditStore(stores.database), sweep_of(stores)
    await audit.done(await audit.begin("ops", "POST x", "", "", {}), {}, {})
    assert (await sweep.sweep(in_days(399)))["audit"] == 0
    assert (await sweep.sweep(in_days(401)))["audit"] == 1
    assert await stores.database.collection("audit").count_documents({}) == 0


@gen_test
async def test_orders_are_deleted_after_their_days_unless_money_came(
    stores: StoresFixture,
) -> None:
    orders = stores.orders
    await closed_order(stores, "unpaid")
    await orders.dispute(await closed_order(stores, "disputed"), "amount")
    await orders.mark_reported(await closed_order(stores, "reported"))
    paid = await closed_order(stores, "paid")
    refunded = await closed_order(stores, "refunded")

    async def pay(session: Session) -> None:
        for number in (paid, refunded):
            await orders.pay(session, number, Payment("xpay", number, "42", 600))

    await stores.database.transaction(pay)
    await orders.delivered(paid)
    where = {"_id": refunded}
    change = {"$set": {"state": "closed", "refunded": 600}, "$unset": {"paid_at": 1}}
    await stores.database.collection("orders").update_one(where, change)
    open_order = await orders.find(paid)
    assert open_order
    await orders.add(replace(open_order, number="open" + new_number(), state="created"), 1, 0)
    sweep = sweep_of(stores)
    assert (await sweep.sweep(in_days(89)))["unpaid_order"] == 0
    assert (await sweep.sweep(in_days(91)))["unpaid_order"] == 1
    assert await order_names(stores) == ["disputed", "open", "paid", "refunded", "reported"]


@gen_test
async def test_failed_messages_are_deleted_after_their_days(stores: StoresFixture) -> None:
    sweep, outbox = sweep_of(stores), stores.outbox
    now = datetime.now(UTC)
    for _ in range(2):
        await outbox.add("portrait_set", {})
    (message,) = await outbox.claim(now + timedelta(seconds=1), now + timedelta(minutes=1), 1)
    await outbox.mark_failed(message.id, "rejected")
    assert (await sweep.sweep(in_days(29)))["failed_outbox"] == 0
    assert (await sweep.sweep(in_days(31)))["failed_outbox"] == 1
    assert await outbox.waiting() == 1


@gen_test
async def test_zero_days_keep_rows_for_ever(stores: StoresFixture) -> None:
    await AuditStore(stores.database).begin("ops", "POST x", "", "", {})
    await closed_order(stores, "unpaid")
    sweep = sweep_of(stores, RetentionSettings(audit_days=0, unpaid_order_days=0))
    assert await sweep.sweep(in_days(100_000)) == {"failed_outbox": 0}
    assert await order_names(stores) == ["unpaid"]


@gen_test
async def test_a_sweep_deletes_in_batches_and_the_next_one_continues(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "MAX_BATCHES", 2)
    for _ in range(5):
        await AuditStore(stores.database).begin("ops", "POST x", "", "", {})
    sweep = sweep_of(stores)
    assert [(await sweep.sweep(in_days(401)))["audit"] for _ in range(3)] == [4, 1, 0]


@gen_test
async def test_one_process_sweeps_in_an_hour(stores: StoresFixture) -> None:
    sweeps = [sweep_of(stores, RetentionSettings(unpaid_order_days=0)) for _ in range(2)]
    assert [await sweep.run_if_due() for sweep in sweeps] == [{"audit": 0, "failed_outbox": 0}, {}]
    leases = stores.database.collection("job_leases")
    await leases.update_one(
        {"_id": retention.JOB_NAME}, [{"$set": {"due_at": {"$subtract": ["$due_at", 3_600_000]}}}]
    )
    assert await sweeps[1].run_if_due() == {"audit": 0, "failed_outbox": 0}
