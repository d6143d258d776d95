import asyncio
from dataclasses import replace

from ledger.journal import Balance
from ledger.recharge import Refund
from tests.support.ledger import ORDER, PAYMENT, PaymentFixture


async def test_a_payment_is_credited_once_also_to_a_closed_order() -> None:
    fixture = PaymentFixture()
    fixture.orders.orders["Q1"] = replace(ORDER, state="closed")
    credited = await asyncio.gather(*(fixture.service.credit(PAYMENT) for _ in range(5)))
    assert sorted(credited) == [False] * 4 + [True]
    assert not await fixture.service.credit(replace(PAYMENT, transaction=""))
    assert fixture.ledger.balances == {"anna": Balance(61, 2)}
    assert fixture.ledger.entries["recharge:Q1"].answer == {"gold": 61, "income": 2}
    assert fixture.orders.orders["Q1"].state == "paid"
    assert fixture.locks.names[0] == ("anna",)


async def test_a_refund_takes_gold_back_once_and_records_the_rest_as_debt() -> None:
    fixture = PaymentFixture()
    await fixture.service.credit(PAYMENT)
    fixture.ledger.balances["anna"] = Balance(40, 5)  # the rest was spent
    first, second = Refund("xpay", "Q1", "R1", 300), Refund("xpay", "Q1", "R2", 300)
    for _ in range(2):
        await fixture.service.refund(first)
    assert fixture.ledger.balances["anna"] == Balance(10, 5)
    assert await fixture.service.refund(second)
    assert not await fixture.service.refund(second)
    assert (fixture.ledger.balances["anna"], fixture.ledger.owed) == (Balance(0, 5), {"anna": 20})
    answers = [fixture.ledger.entries[f"reversal:xpay:R{n}"].answer for n in (1, 2)]
    assert answers == [{"gold": 10, "income": 5}, {"gold": 0, "income": 5}]
