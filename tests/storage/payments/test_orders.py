"""Orders on a real MongoDB: open ones in slots, claims of due ones, and what is kept of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from core.errors import WriteConflict
from ledger.recharge import OPEN_FOR, ClaimedOrder, Order, Payment, Refund
from services.payments.orders import CLAIM_LEASE
from storage.documents import dated_id
from storage.payments.orders import OrderStore
from tests.support.storage import StoresFixture

DAY = timedelta(days=1)
SEQUENCE = count()


def new_order(**fields: object) -> Order:
    order = Order(dated_id("Q"), "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
    return replace(order, **fields)  # type: ignore[arg-type]


async def add_order(stores: StoresFixture, **fields: object) -> Order:
    """Stores a new order, each in a slot of its own and for a block of its own."""
    order = new_order(**fields)
    number = next(SEQUENCE)
    await stores.orders.open(order, number, number)
    return order


async def pay(stores: StoresFixture, order: Order) -> None:
    payment = Payment("xpay", order.number, "42", 600)
    await stores.database.transaction(lambda tx: stores.orders.pay(tx, order.number, payment))


async def refund(stores: StoresFixture, order: Order, fen: int = 200) -> int:
    """The fen refunded before."""
    refunded = Refund("xpay", order.number, "R1", fen)
    return await stores.database.transaction(
        lambda tx: stores.orders.refund(tx, order.number, refunded)
    )


async def claim(stores: StoresFixture, provider: object = "xpay") -> ClaimedOrder | None:
    return await stores.orders.claim(provider, CLAIM_LEASE)  # type: ignore[arg-type]


async def let_time_pass(stores: StoresFixture, time: timedelta) -> None:
    """Moves all stored times into the past."""
    earlier = {"$subtract": ["$due_at", int(time.total_seconds() * 1000)]}
    await stores.rows("orders").update_many(
        {"due_at": {"$ne": None}}, [{"$set": {"due_at": earlier}}]
    )


# ---- open orders


async def open_numbers(stores: StoresFixture) -> list[str]:
    return [open_order.order.number for open_order in await stores.orders.open_orders("anna")]


async def test_an_order_is_read_as_it_was_added(stores: StoresFixture) -> None:
    order = new_order(sandbox=True)
    added = await stores.orders.open(order, 7, 3)
    assert await stores.orders.find(order.number) == order
    assert await stores.orders.find("Q0") is None
    (found,) = await stores.orders.open_orders("anna")
    assert (found.order, found.block_id, found.slot, found.prepay_id) == (order, 7, 3, "")
    assert abs(found.created_at - added.created_at) < timedelta(milliseconds=1)
    await stores.orders.note(order.number, prepay_id="wx1")
    assert (await stores.orders.open_orders("anna"))[0].prepay_id == "wx1"
    assert await stores.orders.open_orders("bert") == []


async def test_a_slot_and_an_offer_each_have_one_open_order(stores: StoresFixture) -> None:
    order = new_order()
    await stores.orders.open(order, 1, 0)
    for block_id, slot in ((2, 0), (1, 1)):
        with pytest.raises(WriteConflict):
            await stores.orders.open(new_order(), block_id, slot)
    other = new_order(fen=601)
    await stores.orders.open(other, 1, 1)
    assert await open_numbers(stores) == [order.number, other.number]
    too_old = {"$set": {"created_at": datetime.now(UTC) - OPEN_FOR}}
    await stores.rows("orders").update_one({"_id": order.number}, too_old)
    assert await open_numbers(stores) == [other.number]
    await stores.orders.open(new_order(), 1, 0)


async def test_order_is_open_until_paid_closed_disputed_or_reported(stores: StoresFixture) -> None:
    orders = paid, closed, disputed, reported = [new_order() for _ in range(4)]
    for slot, order in enumerate(orders):
        await stores.orders.open(order, slot, slot)
    await pay(stores, paid)
    await stores.orders.close(closed.number)
    await stores.orders.dispute(disputed.number, "amount")
    await stores.orders.dispute(reported.number)
    assert await open_numbers(stores) == []
    for slot in range(4):
        await stores.orders.open(new_order(), slot, slot)


# ---- claims


async def test_the_oldest_due_order_of_a_provider_is_claimed_first(stores: StoresFixture) -> None:
    names = ("xpay", "xpay", "jsapi")
    oldest, newest, other = [await add_order(stores, provider=name) for name in names]
    orders = stores.rows("orders")
    long_ago = datetime.now(UTC) - DAY
    await orders.update_many({}, {"$set": {"due_at": long_ago}})
    due_later = {"created_at": long_ago, "due_at": datetime.now(UTC)}
    await orders.update_one({"_id": oldest.number}, {"$set": due_later})
    claims = [await claim(stores) for _ in range(3)]
    assert [claimed and claimed.order for claimed in claims] == [oldest, newest, None]
    claims = [await claim(stores, {"$nin": ["xpay"]}) for _ in range(2)]
    assert [claimed and claimed.order for claimed in claims] == [other, None]


async def test_paid_order_is_claimed_until_it_is_delivered(stores: StoresFixture) -> None:
    order = await add_order(stores)
    assert await claim(stores) is None, "it is neither paid nor due"
    await pay(stores, order)
    claimed = await claim(stores)
    assert claimed
    assert claimed.order == replace(order, state="paid")
    await stores.orders.postpone(order.number, datetime.now(UTC))
    assert await claim(stores) is not None
    await stores.orders.delivered(order.number)
    await pay(stores, order)
    await stores.orders.close(order.number)
    await stores.orders.postpone(order.number, datetime.now(UTC))
    assert await stores.orders.find(order.number) == replace(order, state="paid")
    assert await claim(stores) is None
    assert await stores.orders.oldest_unpaid("xpay") is None


async def test_closed_or_disputed_order_is_never_claimed(stores: StoresFixture) -> None:
    closed, disputed = await add_order(stores), await add_order(stores)
    assert await stores.orders.oldest_unpaid("jsapi") is None
    assert await stores.orders.oldest_unpaid("xpay", datetime.now(UTC)) is None
    await stores.orders.dispute(disputed.number, "amount")
    assert await stores.orders.oldest_unpaid("xpay") is not None
    await stores.orders.close(closed.number)
    assert await stores.orders.oldest_unpaid("xpay") is None
    for order in (closed, disputed):
        await stores.orders.postpone(order.number, datetime.now(UTC))
    await let_time_pass(stores, DAY)
    assert await claim(stores) is None
    rows, _ = await stores.orders.rows("", "", "", 10)
    states = {row["_id"]: (row.get("refused"), row["state"]) for row in rows}
    assert states == {closed.number: (None, "closed"), disputed.number: ("amount", "created")}


# ---- what is kept


async def expiry_days(stores: StoresFixture, number: str) -> int | None:
    row = await stores.rows("orders").find_one({"_id": number})
    assert row
    at = row.get("expires_at")
    return round((at - datetime.now(UTC)) / DAY) if at else None


async def test_closed_orders_expire_unless_money_came(stores: StoresFixture) -> None:
    orders = stores.orders
    paid, refunded, disputed, reported, before, open_, unpaid = [
        await add_order(stores) for _ in range(7)
    ]
    await orders.dispute(before.number)
    for order in (paid, refunded, disputed, reported, before, unpaid):
        await orders.close(order.number)
        assert await expiry_days(stores, order.number) == (None if order is before else 90)
    await pay(stores, paid)
    assert [await refund(stores, refunded) for _ in range(3)] == [0, 200, 400]
    assert await orders.refunded_fen(refunded.number) == 600
    await orders.dispute(disputed.number, "amount")
    await orders.dispute(reported.number)
    for order in (paid, refunded, disputed, reported, before, open_):
        assert await expiry_days(stores, order.number) is None
    assert await expiry_days(stores, unpaid.number) == 90
    await OrderStore(stores.database, 0).close(open_.number)
    assert await expiry_days(stores, open_.number) is None, "zero days keep orders for ever"
