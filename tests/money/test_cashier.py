import asyncio
from dataclasses import replace

import pytest

from money.book import Purse
from money.cashier import Cashier
from money.recharge import PaymentRefused, Refund
from tests.money.memory import Holds, MemoryBook, MemoryTill
from tests.money.test_recharge import ORDER, PAYMENT

gen_test = pytest.mark.gen_test(timeout=20)


class Desk:
    def __init__(self) -> None:
        self.book, self.holds = MemoryBook(anna=(1, 2)), Holds()
        self.till = MemoryTill(self.book, ORDER)
        self.cashier = Cashier(self.book, self.till, self.holds)


@gen_test
async def test_a_payment_becomes_gold_once() -> None:
    desk = Desk()
    assert await desk.cashier.credit(PAYMENT)
    assert not await desk.cashier.credit(replace(PAYMENT, transaction=""))
    assert desk.book.purses == {"anna": Purse(61, 2)}
    assert desk.book.entries["recharge:Q1"].answer == {"gold": 61, "income": 2}
    assert desk.till.orders["Q1"].state == "paid"
    assert desk.holds.names[0] == ("anna",)


@gen_test
async def test_many_at_once_credit_once() -> None:
    desk = Desk()
    news = await asyncio.gather(*(desk.cashier.credit(PAYMENT) for _ in range(20)))
    assert sorted(news) == [False] * 19 + [True]
    assert desk.book.purses["anna"] == Purse(61, 2)


@gen_test
async def test_what_is_not_its_orders_is_refused_and_moves_nothing() -> None:
    desk = Desk()
    for word, other in (("amount", {"fen": 1}), ("order", {"order": "Q2"})):
        with pytest.raises(PaymentRefused, match=word):
            await desk.cashier.credit(replace(PAYMENT, **other))
    assert desk.book.entries == {}
    assert desk.till.orders["Q1"].state == "created"


@gen_test
async def test_an_order_that_cannot_be_marked_leaves_no_gold() -> None:
    desk = Desk()
    desk.till.breaks = True
    with pytest.raises(ConnectionError):
        await desk.cashier.credit(PAYMENT)
    assert (desk.book.entries, desk.book.purses) == ({}, {"anna": Purse(1, 2)})
    desk.till.breaks = False
    assert await desk.cashier.credit(PAYMENT)


@gen_test
async def test_a_closed_order_that_was_paid_all_the_same_is_paid() -> None:
    desk = Desk()
    desk.till.orders["Q1"] = replace(ORDER, state="closed")
    assert await desk.cashier.credit(PAYMENT)
    assert desk.till.orders["Q1"].state == "paid"


# ---- giving back


@gen_test
async def test_a_refund_takes_the_gold_back_once_and_what_is_not_there_is_owed() -> None:
    desk = Desk()
    await desk.cashier.credit(PAYMENT)
    desk.book.purses["anna"] = Purse(40, 5)  # the rest was given away
    first, second = Refund("xpay", "Q1", "R1", 300), Refund("xpay", "Q1", "R2", 300)
    for _ in range(2):
        await desk.cashier.refund(first)
    assert desk.book.purses["anna"] == Purse(10, 5)
    assert await desk.cashier.refund(second)
    assert not await desk.cashier.refund(second)
    assert (desk.book.purses["anna"], desk.book.owed) == (Purse(0, 5), {"anna": 20})
    answers = [desk.book.entries[f"reversal:xpay:R{n}"].answer for n in (1, 2)]
    assert answers == [{"gold": 10, "income": 5}, {"gold": 0, "income": 5}]


@gen_test
async def test_a_refund_that_cannot_be_moves_nothing() -> None:
    desk = Desk()
    refund = Refund("xpay", "Q1", "R1", 600)
    with pytest.raises(PaymentRefused, match="not_paid"):
        await desk.cashier.refund(refund)
    with pytest.raises(PaymentRefused, match="order"):
        await desk.cashier.refund(replace(refund, order="Q2"))
    await desk.cashier.credit(PAYMENT)
    with pytest.raises(PaymentRefused, match="amount"):
        await desk.cashier.refund(replace(refund, fen=601))
    assert desk.till.given_back == {"Q1": 0}
    assert desk.book.purses["anna"] == Purse(61, 2)
    assert len(desk.book.entries) == 1
