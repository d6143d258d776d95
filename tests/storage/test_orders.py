import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from money.recharge import Order, Payment, Refund
from money.sweep import CLAIM, Open
from storage.database import Document, Session
from storage.orders import new_number
from tests.storage.conftest import House
from tests.storage.test_pages import reads

gen_test = pytest.mark.gen_test(timeout=60)
LATER = datetime.now(UTC) + timedelta(days=1)


def an_order(**more: object) -> Order:
    order = Order(new_number(), "anna", "xpay", "wx1", "o1", "gold_60", fen=600, gold=60)
    return replace(order, **more)  # type: ignore[arg-type]


async def added(house: House, **more: object) -> Order:
    order = an_order(**more)
    await house.orders.add(order, 1)
    return order


def test_a_number_is_what_wechat_allows_and_its_own() -> None:
    numbers = {new_number() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(re.fullmatch("[0-9A-Za-z]{8,32}", number) for number in numbers)


@gen_test
async def test_an_order_keeps_what_it_was_made_with(house: House) -> None:
    order = await added(house, sandbox=True)
    assert await house.orders.find(order.number) == order
    assert await house.orders.find("Q0") is None


@gen_test
async def test_an_order_is_paid_once_and_stays_so(house: House) -> None:
    order = await added(house)

    async def pay(session: Session) -> None:
        await house.orders.pay(session, order.number, Payment("xpay", order.number, "42", 600))

    for _ in range(2):
        await house.database.transaction(pay)
        await house.orders.delivered(order.number)
    await house.orders.close(order.number)
    assert await house.orders.find(order.number) == replace(order, state="paid")
    assert await house.orders.claim(LATER, LATER) is None
    assert await house.orders.oldest_unpaid() is None


@gen_test
async def test_what_is_given_back_adds_up(house: House) -> None:
    order = await added(house)
    refund = Refund("xpay", order.number, "R1", 200)

    async def give_back(session: Session) -> int:
        return await house.orders.refund(session, order.number, refund)

    assert [await house.database.transaction(give_back) for _ in range(3)] == [0, 200, 400]


@gen_test
async def test_an_order_is_claimed_when_it_is_due_and_by_one(house: House) -> None:
    order = await added(house)
    now = datetime.now(UTC)
    assert await house.orders.claim(now, now + CLAIM) is None
    soon = now + timedelta(minutes=1, seconds=1)
    claimed = await house.orders.claim(soon, soon + CLAIM)
    assert isinstance(claimed, Open)
    assert (claimed.order, claimed.asked) == (order, 1)
    assert abs(claimed.created_at - now) < timedelta(seconds=10)
    assert await house.orders.claim(soon, soon + CLAIM) is None
    again = await house.orders.claim(soon + CLAIM, LATER)
    assert again
    assert again.asked == 2, "whoever had it died"
    await house.orders.later(order.number, soon)
    assert await house.orders.claim(soon, LATER) is not None


@gen_test
async def test_a_closed_order_is_asked_about_no_more(house: House) -> None:
    order = await added(house)
    assert await house.orders.oldest_unpaid() is not None
    await house.orders.close(order.number)
    await house.orders.later(order.number, datetime.now(UTC))
    assert await house.orders.claim(LATER, LATER) is None
    found = await house.orders.find(order.number)
    assert found
    assert found.state == "closed"


@gen_test
async def test_a_paid_order_is_claimed_until_it_is_delivered(house: House) -> None:
    order = await added(house)
    assert await house.orders.claim(datetime.now(UTC), LATER) is None, "it is not paid"

    async def pay(session: Session) -> None:
        await house.orders.pay(session, order.number, Payment("xpay", order.number, "42", 600))

    await house.database.transaction(pay)
    now = datetime.now(UTC)
    claimed = await house.orders.claim(now, now + CLAIM)
    assert claimed
    assert claimed.order.state == "paid"
    await house.orders.later(order.number, now)
    assert await house.orders.claim(now, LATER) is not None
    await house.orders.delivered(order.number)
    await house.orders.later(order.number, now)
    assert await house.orders.claim(LATER, LATER) is None


@gen_test
async def test_a_disputed_order_is_for_operators(house: House) -> None:
    order = await added(house)
    await house.orders.dispute(order.number, "amount")
    assert await house.orders.claim(LATER, LATER) is None
    (row,), _ = await house.orders.page("", "", "", 10)
    assert (row["refused"], row["state"]) == ("amount", "created")


@gen_test
async def test_operators_see_the_newest_first(house: House) -> None:
    anna = [(await added(house)).number for _ in range(3)]
    await added(house, user_id="bert")
    await house.orders.close(anna[0])
    everybodys, more = await house.orders.page("", "", "", 10)
    assert [row["user_id"] for row in everybodys] == ["bert", "anna", "anna", "anna"]
    assert more is None
    hers, _ = await house.orders.page("anna", "created", "", 10)
    assert {row["_id"] for row in hers} == set(anna[1:])


async def many(house: House, count: int) -> list[Document]:
    """As many orders, each of its own second, user and transaction; the latest last."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [start + timedelta(seconds=n) for n in range(count)]
    rows: list[Document] = [
        {
            "_id": f"Q{at:%Y%m%d%H%M%S}f{n:05}",
            "user_id": str(42_000_000 + n),
            "state": "paid",
            "transaction": f"4200000{n:09}",
            "created_at": at,
        }
        for n, at in enumerate(made)
    ]
    await house.database.collection("orders").insert_many(rows)
    return rows


@gen_test
async def test_an_order_is_found_by_the_start_of_its_number_its_transaction_or_its_user(
    house: House,
) -> None:
    rows = await many(house, 300)
    wanted = rows[123]
    for said in (
        wanted["_id"],
        wanted["_id"][:15],
        wanted["user_id"],
        wanted["transaction"],
        wanted["transaction"][:-1],
    ):
        found, _ = await house.orders.page("", "paid", "", 10, said=said)
        assert wanted["_id"] in [row["_id"] for row in found], said
        assert len(found) <= 10, said
    for said in ("Q2026.", wanted["_id"][1:], wanted["user_id"][:7], "42000000x"):
        assert await house.orders.page("", "", "", 10, said=said) == ([], None), said
    user = str(wanted["transaction"])[:8]  # the same digits
    found, _ = await house.orders.page("", "", "", 10, said=user)
    assert {row["user_id"] for row in found} <= {user}


@gen_test
async def test_operators_read_what_they_see_and_not_the_whole_book(house: House) -> None:
    rows = await many(house, 3000)
    wanted, middle = rows[1500], rows[1000]
    cursor = f"{int(middle['created_at'].timestamp() * 1000)}.{middle['_id']}"
    async with reads(house.database, "orders") as read:
        for said in (wanted["_id"], wanted["user_id"], wanted["transaction"]):
            found, _ = await house.orders.page("", "", "", 10, said=said)
            assert len(found) == 1
        await house.orders.page("", "", "", 10)
        await house.orders.page("", "paid", cursor, 10)
    assert all(one <= 30 for one in read), read
    assert len(read) == 5
