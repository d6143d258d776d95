from datetime import UTC, datetime, timedelta

import pytest

from core.errors import WriteConflict
from ledger.recharge import OPEN_FOR, Order, Payment
from storage.database import Session
from storage.orders import new_number
from tests.support.storage import StoresFixture

LONG_AGO = datetime.now(UTC) - OPEN_FOR


def new_order(fen: int = 600) -> Order:
    return Order(new_number(), "anna", "xpay", "wx1", "o1", "gold_60", fen=fen, gold=60)


async def open_numbers(stores: StoresFixture) -> list[str]:
    return [it.order.number for it in await stores.orders.open_orders("anna")]


async def test_an_open_order_is_read_as_it_was_added(stores: StoresFixture) -> None:
    order = new_order()
    added = await stores.orders.add(order, 7, 3)
    (found,) = await stores.orders.open_orders("anna")
    assert (found.order, found.block_id, found.slot, found.prepay_id) == (order, 7, 3, "")
    assert abs(found.created_at - added.created_at) < timedelta(milliseconds=1)
    await stores.orders.store_prepay_id(order.number, "wx1")
    assert (await stores.orders.open_orders("anna"))[0].prepay_id == "wx1"
    assert await stores.orders.open_orders("bert") == []


async def test_a_slot_and_an_offer_each_have_one_open_order(stores: StoresFixture) -> None:
    order = new_order()
    await stores.orders.add(order, 1, 0)
    for block_id, slot in ((2, 0), (1, 1)):
        with pytest.raises(WriteConflict):
            await stores.orders.add(new_order(), block_id, slot)
    await stores.orders.add(new_order(fen=601), 1, 1)
    assert len(await open_numbers(stores)) == 2


async def test_an_order_is_no_longer_open_once_paid_closed_disputed_or_reported(
    stores: StoresFixture,
) -> None:
    orders = [new_order() for _ in range(4)]
    for slot, order in enumerate(orders):
        await stores.orders.add(order, slot, slot)
    paid, closed, disputed, reported = orders

    async def pay(session: Session) -> None:
        await stores.orders.pay(session, paid.number, Payment("xpay", paid.number, "42", 600))

    await stores.database.transaction(pay)
    await stores.orders.close(closed.number)
    await stores.orders.dispute(disputed.number, "amount")
    await stores.orders.mark_reported(reported.number)
    assert await open_numbers(stores) == []
    for slot in range(4):
        await stores.orders.add(new_order(), slot, slot)


async def test_the_slot_of_an_order_that_is_too_old_becomes_free(stores: StoresFixture) -> None:
    order, other = new_order(), new_order()
    await stores.orders.add(order, 1, 0)
    await stores.orders.add(other, 2, 1)
    change = {"$set": {"created_at": LONG_AGO}}
    await stores.database.collection("orders").update_one({"_id": order.number}, change)
    assert await open_numbers(stores) == [other.number]
    await stores.orders.add(new_order(), 1, 0)
