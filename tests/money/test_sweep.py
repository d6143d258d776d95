from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from money.recharge import Order, Payment
from money.sweep import CLOSE_AFTER, GIVE_UP_AFTER, Open, Sweep, next_look
from tests.money.test_cashier import Desk
from tests.money.test_recharge import ORDER, PAYMENT

gen_test = pytest.mark.gen_test(timeout=20)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Shop:
    """The provider, the orders, and what was done to them."""

    def __init__(self, *payments: Payment | None) -> None:
        self.payments = list(payments)
        self.done: list[str] = []
        self.due: datetime | None = None
        self.desk = Desk()
        self.sweep = Sweep(self, self.desk.cashier, {"xpay": Service(self)})

    async def claim(self, now: datetime, until: datetime) -> Open | None:
        raise NotImplementedError

    async def later(self, number: str, at: datetime) -> None:
        assert number == "Q1"
        self.due = at

    async def close(self, number: str) -> None:
        self.done.append(f"{number} is closed")

    async def delivered(self, number: str) -> None:
        self.done.append(f"{number} is delivered")

    async def dispute(self, number: str, word: str) -> None:
        self.done.append(f"{number}: {word}")

    async def look(self, age: timedelta, asked: int = 1, order: Order = ORDER) -> str:
        return await self.sweep.look(Open(order, BEGAN, asked), BEGAN + age)


class Service:
    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def query(self, order: Order) -> Payment | None:
        self._note("query", order)
        return self.shop.payments.pop(0)

    async def close(self, order: Order) -> None:
        self._note("close", order)

    async def deliver(self, order: Order) -> None:
        self._note("deliver", order)

    def _note(self, what: str, order: Order) -> None:
        assert order.number == "Q1"
        self.shop.done.append(what)


@gen_test
async def test_what_was_paid_is_credited_and_left_to_be_delivered() -> None:
    shop = Shop(PAYMENT, PAYMENT)
    for _ in range(2):
        assert await shop.look(timedelta(minutes=1)) == "paid"
    assert shop.done == ["query", "query"]
    assert shop.desk.book.purses["anna"].gold == 61


@gen_test
async def test_what_is_paid_is_delivered_however_old_it_is() -> None:
    shop = Shop()
    paid = replace(ORDER, state="paid")
    assert await shop.look(2 * GIVE_UP_AFTER, order=paid) == "delivered"
    assert shop.done == ["deliver", "Q1 is delivered"]


@gen_test
async def test_what_was_not_is_looked_at_later_and_at_last_closed() -> None:
    shop = Shop(None, None, None)
    assert await shop.look(timedelta(minutes=1)) == "later"
    assert shop.due == BEGAN + timedelta(minutes=5)
    assert await shop.look(CLOSE_AFTER - timedelta(seconds=1)) == "later"
    assert shop.due == BEGAN + CLOSE_AFTER
    assert await shop.look(CLOSE_AFTER) == "closed"
    assert shop.done == ["query", "query", "close", "query", "Q1 is closed"]


@gen_test
async def test_what_is_paid_just_before_it_is_closed_is_credited_and_so_after_days() -> None:
    for age in (CLOSE_AFTER, 3 * GIVE_UP_AFTER):
        shop = Shop(PAYMENT)
        assert await shop.look(age) == "paid"
        assert shop.done == ["close", "query"]


@gen_test
async def test_a_payment_that_is_not_the_orders_is_for_operators() -> None:
    shop = Shop(replace(PAYMENT, fen=1))
    assert await shop.look(timedelta(minutes=1)) == "amount"
    assert shop.done == ["query", "Q1: amount"]
    assert shop.desk.book.entries == {}


@gen_test
async def test_a_provider_that_there_is_no_more_is_not_asked() -> None:
    shop = Shop()
    assert await shop.look(timedelta(0), order=replace(ORDER, provider="gone")) == "closed"
    assert shop.done == ["Q1 is closed"]


@gen_test
async def test_one_that_does_not_answer_is_asked_again_for_a_day() -> None:
    shop = Shop()
    for age, due in (
        (timedelta(minutes=1), timedelta(minutes=5)),
        (timedelta(hours=4), timedelta(hours=5)),
    ):
        assert await shop.sweep.put_off(Open(ORDER, BEGAN, 1), BEGAN + age) == "later"
        assert shop.due == BEGAN + due
    assert await shop.sweep.put_off(Open(ORDER, BEGAN, 9), BEGAN + GIVE_UP_AFTER) == "closed"
    paid = Open(replace(ORDER, state="paid"), BEGAN, 9)
    assert await shop.sweep.put_off(paid, BEGAN + timedelta(hours=4)) == "later"
    assert await shop.sweep.put_off(paid, BEGAN + GIVE_UP_AFTER) == "closed"
    assert shop.done == ["Q1 is closed", "Q1 is delivered"]


def test_an_order_is_looked_at_after_1_5_15_and_60_minutes_and_before_it_is_closed() -> None:
    looks, age = [], timedelta(0)
    for _ in range(6):
        age = next_look(Open(ORDER, BEGAN, 0), BEGAN + age) - BEGAN
        looks.append(age)
    minutes = [1, 5, 15, 60, 180, 240]
    assert looks == [timedelta(minutes=n) for n in minutes]
