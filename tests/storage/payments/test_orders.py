import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count

import pytest

from ledger.recharge import ClaimedOrder, Order, Payment, Refund
from services.payments.unpaid_orders import CLAIM_LEASE
from storage.database import Document, Session
from storage.jobs.due import due_now
from storage.orders import new_number
from tests.support.query_profile import profile_queries
from tests.support.storage import StoresFixture

DAY = timedelta(days=1)
SEQUENCE = count()


def new_order(**fields: object) -> Order:
    order = Order(new_number(), "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
    return replace(order, **fields)  # type: ignore[arg-type]


async def add_order(stores: StoresFixture, **fields: object) -> Order:
    """Stores a new order, each in a slot of its own and for a block of its own."""
    order = new_order(**fields)
    number = next(SEQUENCE)
    await stores.orders.add(order, number, number)
    return order


async def claim(stores: StoresFixture, provider: object = "xpay") -> ClaimedOrder | None:
    return await stores.orders.claim(provider, CLAIM_LEASE)  # type: ignore[arg-type]


async def let_time_pass(stores: StoresFixture, time: timedelta) -> None:
    """Moves all stored times into the past."""
    earlier = {"$subtract": ["$due_at", int(time.total_seconds() * 1000)]}
    await stores.database.collection("orders").update_many(
        {"due_at": {"$ne": None}}, [{"$set": {"due_at": earlier}}]
    )


def test_order_numbers_are_unique_and_valid_for_wechat() -> None:
    numbers = {new_number() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(re.fullmatch("[0-9A-Za-z]{8,32}", number) for number in numbers)


async def test_order_is_read_as_it_was_added(stores: StoresFixture) -> None:
    order = await add_order(stores, sandbox=True)
    assert await stores.orders.find(order.number) == order
    assert await stores.orders.find("Q0") is None


async def test_order_is_paid_once_and_stays_paid(stores: StoresFixture) -> None:
    order = await add_order(stores)

    async def pay(session: Session) -> None:
        await stores.orders.pay(session, order.number, Payment("xpay", order.number, "42", 600))

    for _ in range(2):
        await stores.database.transaction(pay)
        await stores.orders.delivered(order.number)
    await stores.orders.close(order.number)
    assert await stores.orders.find(order.number) == replace(order, state="paid")
    await let_time_pass(stores, DAY)
    assert await claim(stores) is None
    assert await stores.orders.oldest_unpaid("xpay") is None


async def test_refunds_of_an_order_are_summed(stores: StoresFixture) -> None:
    order = await add_order(stores)
    refund = Refund("xpay", order.number, "R1", 200)

    async def refund_once(session: Session) -> int:
        return await stores.orders.refund(session, order.number, refund)

    assert [await stores.database.transaction(refund_once) for _ in range(3)] == [0, 200, 400]


async def test_due_order_is_claimed_once_per_lease(stores: StoresFixture) -> None:
    order = await add_order(stores)
    assert await claim(stores) is None
    await let_time_pass(stores, timedelta(minutes=1, seconds=1))
    claims = await asyncio.gather(*(claim(stores) for _ in range(8)))
    (claimed,) = [it for it in claims if it]
    assert claimed.order == order
    assert abs(claimed.created_at - datetime.now(UTC)) < timedelta(seconds=10)
    await let_time_pass(stores, CLAIM_LEASE - timedelta(seconds=10))
    assert await claim(stores) is None
    await let_time_pass(stores, timedelta(seconds=11))
    assert await claim(stores), "the first claim has expired"
    await stores.orders.postpone(order.number, datetime.now(UTC))
    assert await claim(stores) is not None


async def test_a_process_whose_clock_is_ahead_respects_the_lease_of_another(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_order(stores)
    await let_time_pass(stores, timedelta(minutes=1, seconds=1))
    assert await claim(stores)

    class FastClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + DAY

    monkeypatch.setattr("storage.orders.datetime", FastClock)
    monkeypatch.setattr("services.payments.unpaid_orders.datetime", FastClock)
    assert await claim(stores) is None


async def test_the_oldest_due_order_of_a_provider_is_claimed_first(stores: StoresFixture) -> None:
    oldest, newest, other = [
        await add_order(stores, provider=name) for name in ("xpay", "xpay", "jsapi")
    ]
    orders = stores.database.collection("orders")
    long_ago = datetime.now(UTC) - DAY
    await orders.update_many({}, {"$set": {"due_at": long_ago}})
    due_later = {"created_at": long_ago, "due_at": datetime.now(UTC)}
    await orders.update_one({"_id": oldest.number}, {"$set": due_later})
    claims = [await claim(stores) for _ in range(3)]
    assert [it and it.order for it in claims] == [oldest, newest, None]
    claims = [await claim(stores, {"$nin": ["xpay"]}) for _ in range(2)]
    assert [it and it.order for it in claims] == [other, None]


async def test_a_claim_among_many_waiting_orders_reads_one_document(stores: StoresFixture) -> None:
    start = datetime.now(UTC) - DAY
    rows: list[Document] = [
        {
            "_id": f"Q{n}",
            "provider": "xpay",
            "created_at": start + timedelta(seconds=n),
            "due_at": datetime.now(UTC) + DAY,
        }
        for n in range(500)
    ]
    rows[-1]["due_at"] = start
    await stores.database.collection("orders").insert_many(rows)
    query = {
        "find": "orders",
        "filter": {"provider": "xpay", **due_now()},
        "sort": {"created_at": 1},
    }
    explained = await stores.database._db.command(
        {"explain": {**query, "limit": 1}, "verbosity": "executionStats"}
    )
    assert explained["executionStats"]["nReturned"] == 1
    assert explained["executionStats"]["totalDocsExamined"] == 1


async def test_closed_order_is_never_claimed(stores: StoresFixture) -> None:
    order = await add_order(stores)
    assert await stores.orders.oldest_unpaid("xpay") is not None
    assert await stores.orders.oldest_unpaid("jsapi") is None
    assert await stores.orders.oldest_unpaid("xpay", datetime.now(UTC)) is None
    await stores.orders.close(order.number)
    await stores.orders.postpone(order.number, datetime.now(UTC))
    await let_time_pass(stores, DAY)
    assert await claim(stores) is None
    found = await stores.orders.find(order.number)
    assert found
    assert found.state == "closed"


async def test_paid_order_is_claimed_until_it_is_delivered(stores: StoresFixture) -> None:
    order = await add_order(stores)
    assert await claim(stores) is None, "it is neither paid nor due"

    async def pay(session: Session) -> None:
        await stores.orders.pay(session, order.number, Payment("xpay", order.number, "42", 600))

    await stores.database.transaction(pay)
    claimed = await claim(stores)
    assert claimed
    assert claimed.order.state == "paid"
    await stores.orders.postpone(order.number, datetime.now(UTC))
    assert await claim(stores) is not None
    await stores.orders.delivered(order.number)
    await stores.orders.postpone(order.number, datetime.now(UTC))
    assert await claim(stores) is None


async def test_disputed_order_is_listed_but_never_claimed(stores: StoresFixture) -> None:
    order = await add_order(stores)
    await stores.orders.dispute(order.number, "amount")
    await let_time_pass(stores, DAY)
    assert await claim(stores) is None
    (row,), _ = await stores.orders.page("", "", "", 10)
    assert (row["refused"], row["state"]) == ("amount", "created")


async def test_orders_are_listed_newest_first(stores: StoresFixture) -> None:
    anna = [(await add_order(stores)).number for _ in range(3)]
    earlier = [{"$set": {"created_at": {"$subtract": ["$created_at", 1000]}}}]
    await stores.database.collection("orders").update_many({}, earlier)
    await add_order(stores, user_id="bert")
    await stores.orders.close(anna[0])
    all_orders, more = await stores.orders.page("", "", "", 10)
    assert [row["user_id"] for row in all_orders] == ["bert", "anna", "anna", "anna"]
    assert more is None
    created, _ = await stores.orders.page("anna", "created", "", 10)
    assert {row["_id"] for row in created} == set(anna[1:])


async def insert_orders(stores: StoresFixture, count: int) -> list[Document]:
    """Insert orders one second apart, each with its own user and transaction."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(seconds=n) for n in range(count)]
    rows: list[Document] = [
        {
            "_id": f"Q{at:%Y%m%d%H%M%S}f{n:05}",
            "user_id": str(42_000_000 + n),
            "state": "paid",
            "transaction": f"4200000{n:09}",
            "created_at": at,
        }
        for n, at in enumerate(times)
    ]
    await stores.database.collection("orders").insert_many(rows)
    return rows


async def test_search_finds_an_order_by_number_prefix_transaction_or_user(
    stores: StoresFixture,
) -> None:
    rows = await insert_orders(stores, 300)
    wanted = rows[123]
    for search in (
        wanted["_id"],
        wanted["_id"][:15],
        wanted["user_id"],
        wanted["transaction"],
        wanted["transaction"][:-1],
    ):
        found, _ = await stores.orders.page("", "paid", "", 10, search=search)
        assert wanted["_id"] in [row["_id"] for row in found], search
        assert len(found) <= 10, search
    for search in ("Q2026.", wanted["_id"][1:], wanted["user_id"][:7], "42000000x"):
        assert await stores.orders.page("", "", "", 10, search=search) == ([], None), search
    user = str(wanted["transaction"])[:8]  # the same digits
    found, _ = await stores.orders.page("", "", "", 10, search=user)
    assert {row["user_id"] for row in found} <= {user}


async def test_order_pages_and_searches_read_few_documents(stores: StoresFixture) -> None:
    rows = await insert_orders(stores, 3000)
    wanted, middle = rows[1500], rows[1000]
    cursor = f"{int(middle['created_at'].timestamp() * 1000)}.{middle['_id']}"
    async with profile_queries(stores.database, "orders") as examined:
        for search in (wanted["_id"], wanted["user_id"], wanted["transaction"]):
            found, _ = await stores.orders.page("", "", "", 10, search=search)
            assert len(found) == 1
        await stores.orders.page("", "", "", 10)
        await stores.orders.page("", "paid", cursor, 10)
    assert all(count <= 30 for count in examined), examined
    assert len(examined) == 5
