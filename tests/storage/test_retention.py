"""When MongoDB deletes audit entries, unpaid orders and failed messages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.recharge import Order, Payment, Refund
from storage.database import Session
from storage.operators.audit import AuditStore
from storage.orders import OrderStore, new_number
from tests.support.storage import StoresFixture

UNPAID = Order("", "1", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)


async def kept_days(stores: StoresFixture, collection: str) -> list[int | None]:
    """Days until each document is deleted, None if never, in the order of `_id`."""
    rows = await stores.database.collection(collection).find().sort("_id", 1).to_list()
    return [days_until(row.get("expires_at")) for row in rows]


def days_until(at: datetime | None) -> int | None:
    return round((at - datetime.now(UTC)) / timedelta(days=1)) if at else None


@pytest.mark.parametrize("collection", ["audit", "orders", "outbox"])
async def test_documents_are_deleted_when_they_expire(
    stores: StoresFixture, collection: str
) -> None:
    await AuditStore(stores.database).make_indexes()
    indexes = await stores.database.collection(collection).index_information()
    assert indexes["expires_at_1"]["expireAfterSeconds"] == 0


async def test_audit_entries_are_kept_for_their_days(stores: StoresFixture) -> None:
    for days in (400, 0):
        audit = AuditStore(stores.database, days)
        await audit.done(await audit.begin("ops", "POST x", "", "", {}), {}, {})
    assert await kept_days(stores, "audit") == [400, None]


async def test_failed_messages_are_kept_for_30_days(stores: StoresFixture) -> None:
    now, outbox = datetime.now(UTC), stores.outbox
    for _ in range(2):
        await outbox.add("portrait_set", {})
    for message in await outbox.claim(now + timedelta(seconds=1), now + timedelta(minutes=1), 1):
        await outbox.mark_failed(message.id, "rejected")
    assert sorted(await kept_days(stores, "outbox"), key=str) == [30, None]


async def test_closed_orders_are_deleted_unless_money_came(stores: StoresFixture) -> None:
    orders = OrderStore(stores.database, 90)

    async def add(name: str, *, close: bool = True) -> str:
        order = replace(UNPAID, number=f"{name}{new_number()}")
        slot = len(await orders.open_orders(order.user_id))
        await orders.add(order, slot, slot)
        if close:
            await orders.close(order.number)
        return order.number

    async def book(work: Any) -> None:
        await stores.database.transaction(work)

    async def pay(session: Session) -> None:
        await orders.pay(session, number, Payment("xpay", number, "42", 600))

    async def refund(session: Session) -> None:
        await orders.refund(session, number, Refund("xpay", number, "50", 600, own="50"))

    number = await add("a-paid")
    await book(pay)
    number = await add("b-refunded")
    await book(refund)
    await orders.dispute(await add("c-disputed"), "amount")
    await orders.mark_reported(await add("d-reported"))
    number = await add("e-reported-before", close=False)
    await orders.mark_reported(number)
    await orders.close(number)
    await add("f-open", close=False)
    assert await kept_days(stores, "orders") == [None] * 6
    await add("g-unpaid")
    assert (await kept_days(stores, "orders"))[-1] == 90


async def test_an_order_whose_close_is_interrupted_is_deleted_too(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = OrderStore(stores.database, 90)
    await orders.add(replace(UNPAID, number="1"), 1, 0)
    rows, first = orders._orders, [orders._orders.update_one]

    async def update_one(*args: Any) -> None:
        if not first:
            raise ConnectionError
        await first.pop()(*args)

    monkeypatch.setattr(rows, "update_one", update_one)
    with pytest.raises(ConnectionError):
        await orders.close("1")
    row = await rows.find_one()
    assert row
    assert (row["state"], days_until(row["expires_at"])) == ("closed", 90)


async def test_zero_days_keep_closed_orders_for_ever(stores: StoresFixture) -> None:
    orders = OrderStore(stores.database, 0)
    await orders.add(replace(UNPAID, number="1"), 1, 0)
    await orders.close("1")
    assert await kept_days(stores, "orders") == [None]
