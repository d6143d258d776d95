"""Operators open, confirm and drop refund cases, on a real MongoDB."""

import asyncio

import pytest

from ledger.errors import RequestIdReused
from ledger.recharge import Refund
from services.errors import (
    NotRefundable,
    RequesterNotAllowed,
    SecondPersonRequired,
)
from storage.errors import AlreadyDecided, OrderInRefund, OrderNotFound, UserNotFound
from tests.support.races import run_after
from tests.support.refunds import LIMIT, RefundFixture


async def test_a_repeated_request_returns_the_same_case(refunds: RefundFixture) -> None:
    first, second = await refunds.recharge(), await refunds.recharge()
    case = await refunds.open(first, second, first)
    assert [order.number for order in case.orders] == [first, second]
    assert await refunds.open(second, first) == case
    with pytest.raises(RequestIdReused):
        await refunds.open(first)
    with pytest.raises(OrderInRefund):
        await refunds.open(second, request_id="two")
    await refunds.process.service.drop(case.id, "olga", "no")
    again = await asyncio.gather(*(refunds.open(second, request_id="two") for _ in range(3)))
    assert len({opened.id for opened in again}) == 1


async def test_only_paid_orders_of_the_user_can_be_refunded(refunds: RefundFixture) -> None:
    number, other = await refunds.recharge(60), await refunds.recharge(60)
    with pytest.raises(UserNotFound):
        await refunds.process.service.open("0", [number], "x", "x", "olga")
    for user_id, order in ((refunds.hosts[0], number), (refunds.giver, "Q0")):
        with pytest.raises(OrderNotFound):
            await refunds.process.service.open(user_id, [order], "x", "x", "olga")
    await refunds.process.payments.refund(Refund("xpay", number, "wx-1", 600))
    with pytest.raises(NotRefundable):
        await refunds.open(number)
    await refunds.process.payments.refund(Refund("xpay", other, "wx-2", 100))
    case = await refunds.open(other)
    assert (case.fen, case.gold) == (500, 50)
    await refunds.process.payments.refund(Refund("xpay", other, "wx-3", 500))
    with pytest.raises(NotRefundable):
        await refunds.confirm(case)
    await refunds.check()


async def test_above_the_limit_another_operator_confirms(refunds: RefundFixture) -> None:
    small = await refunds.open(await refunds.recharge(LIMIT - 10))
    assert (await refunds.confirm(small, "olga")).state == "confirmed"
    [entry] = await refunds.stores.entries(kind="reversal")
    assert entry["by"] == "olga"
    second = await refunds.open(await refunds.recharge(20), request_id="two")
    with pytest.raises(SecondPersonRequired):
        await refunds.confirm(second, "olga")
    assert (await refunds.get(second)).state == "opened"
    assert (await refunds.confirm(second)).operators == "olga+pavel"
    third = await refunds.open(await refunds.recharge(20), request_id="three", by="unknown")
    with pytest.raises(RequesterNotAllowed):
        await refunds.confirm(third)


async def test_a_case_is_decided_once(refunds: RefundFixture) -> None:
    case = await refunds.open(await refunds.recharge())
    results = await asyncio.gather(*(refunds.confirm(case) for _ in range(3)))
    assert len({case.state for case in results}) == 1
    assert len(await refunds.stores.entries(kind="reversal")) == 1
    with pytest.raises(AlreadyDecided):
        await refunds.confirm(case, "olga")
    with pytest.raises(AlreadyDecided):
        await refunds.process.service.drop(case.id, "pavel", "too late")
    dropped = await refunds.open(await refunds.recharge(), request_id="two")
    for _ in range(2):
        case = await refunds.process.service.drop(dropped.id, "pavel", "no papers")
        assert case.state == "dropped"
    with pytest.raises(AlreadyDecided):
        await refunds.confirm(dropped)


async def test_an_order_that_its_provider_cannot_refund_is_settled(refunds: RefundFixture) -> None:
    number = await refunds.recharge(LIMIT + 10)
    case = await refunds.open(number, await refunds.recharge(10, platform="ios"))
    settle, apple = refunds.process.service.settle, case.orders[1].number
    with pytest.raises(OrderNotFound):
        await settle(case.id, "Q0", "pavel", "?")
    await refunds.confirm(case)
    refunds.desk.refusal = "ORDER_CLOSED"
    await refunds.sweep()
    with pytest.raises(SecondPersonRequired):  # olga has opened the case
        await settle(case.id, number, "olga", "by bank transfer")
    for _ in range(2):
        settled = await settle(case.id, number, "pavel", "by bank transfer")
        assert (settled.state, settled.orders[0].state) == ("refunding", "settled")
    with pytest.raises(AlreadyDecided):
        await settle(case.id, number, "olga", "again")
    assert (await settle(case.id, apple, "olga", "Apple has declined")).state == "closed"


async def test_a_callback_that_loses_a_race_is_saved_on_the_changed_case(
    refunds: RefundFixture,
) -> None:
    case = await refunds.open(await refunds.recharge())
    await refunds.confirm(case)
    run_after(refunds.process.cases, "with_order", refunds.sweep)
    assert (await refunds.callback(case)).outcome == "done"
    assert (await refunds.get(case)).state == "closed"
    assert (await refunds.callback(case)).outcome == "done"


async def test_a_case_that_is_decided_meanwhile_is_not_dropped(
    refunds: RefundFixture,
) -> None:
    case = await refunds.open(await refunds.recharge())
    run_after(refunds.process.cases, "get", lambda: refunds.confirm(case))
    with pytest.raises(AlreadyDecided):
        await refunds.process.service.drop(case.id, "olga", "no papers")
    assert (await refunds.get(case)).state == "confirmed"
