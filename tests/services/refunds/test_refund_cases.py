"""Refund cases from the preview to WeChat's callback, on a real MongoDB."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import TryAgain
from ledger.errors import WithdrawalsStopped
from ledger.recharge import Refund, RefundState
from ledger.transfers import TransferState
from ledger.withdrawal_requests import Maturity, Payee
from ledger.withdrawals import WithdrawalState
from services.errors import RefundChanged
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.support.races import run_before
from tests.support.refunds import RefundFixture, RefundProcess

# ---- unspent gold


async def test_unspent_gold_is_taken_back_before_wechat_is_asked(refunds: RefundFixture) -> None:
    number = await refunds.recharge(60)
    case = await refunds.open(number)
    assert (case.state, case.gold, case.fen, case.unspent) == ("opened", 60, 600, 60)
    assert (case.gifts, case.hosts, case.uncovered) == ((), (), 0)
    assert (await refunds.balances())[0] == (60, 0, 0, 0)
    confirmed = await refunds.confirm(case)
    assert (confirmed.state, confirmed.orders[0].state) == ("confirmed", "taken")
    assert (await refunds.balances())[0] == (0, 0, 0, 0)
    assert refunds.desk.calls == []
    [entry] = await refunds.stores.entries(kind="reversal")
    assert (entry["_id"], entry["by"]) == (f"reversal:xpay:{case.id}01", "olga+pavel")
    assert (entry["content"]["case"], entry["note"]) == (case.id, "a minor")
    await refunds.sweep()
    assert refunds.desk.refunds == {f"{case.id}01": (number, 600)}
    assert (await refunds.get(case)).state == "refunding"
    assert (await refunds.callback(case)).outcome == "done"
    closed = await refunds.get(case)
    assert (closed.state, closed.orders[0].provider_refund) == ("closed", "wx-0")
    assert closed.closed_at
    paid, *moved = await refunds.stores.told(case.user_id)
    assert paid == ("payment", {"order": number, "gold": 60})
    states = ("taken", "requested", "refunded")
    assert moved == [("refund", {**paid[1], "state": state}) for state in states]
    await refunds.check()


async def test_a_discounted_order_is_refunded_for_what_was_charged_and_leaves_no_gold(
    refunds: RefundFixture,
) -> None:
    """By a case, and in WeChat's console."""
    by_case, by_hand = [await refunds.recharge(600, paid_fen=5000) for _ in range(2)]
    await refunds.process.payments.refund(Refund("xpay", by_hand, "wx-2", 5000))
    by_console = {"order": by_hand, "gold": 600, "state": "refunded"}
    assert (await refunds.stores.told(refunds.giver))[-1] == ("refund", by_console)
    assert (await refunds.balances())[0] == (600, 0, 0, 0)
    case = await refunds.confirm(await refunds.open(by_case))
    assert (await refunds.balances())[0] == (0, 0, 0, 0)
    await refunds.sweep()
    assert refunds.desk.refunds == {f"{case.id}01": (by_case, 5000)}
    assert (await refunds.callback(case)).outcome == "done"
    assert (await refunds.get(case)).state == "closed"
    assert (await LedgerReconciler(refunds.stores.database).totals())["fen"] == 0
    await refunds.check()


async def test_a_lost_callback_is_made_up_for_by_a_query(refunds: RefundFixture) -> None:
    case = await refunds.open(await refunds.recharge())
    await refunds.confirm(case)
    await refunds.sweep()
    refunds.desk.refunds.clear()  # as if the provider did not have it
    for _ in range(2):
        await refunds.sweep()
    assert refunds.desk.calls == ["refund", "query", "refund", "query"]
    assert [*refunds.desk.refunds] == [f"{case.id}01"]
    assert (await refunds.get(case)).state == "refunding"
    ignored = await refunds.process.notifications.record(None, "not_success")
    assert (ignored.outcome, ignored.reason) == ("ignored", "not_success")
    refunds.desk.answer = "done"
    await refunds.sweep()
    assert (await refunds.get(case)).state == "closed"
    assert (await refunds.callback(case)).outcome == "done", "a late one"


async def test_a_case_stays_leased_between_two_steps(
    refunds: RefundFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its process dies there, another one continues it."""
    case = await refunds.confirm(await refunds.open(*[await refunds.recharge() for _ in range(2)]))
    leases, ask = list[datetime | None](), refunds.desk.refund

    async def refund(*arguments: Any) -> RefundState:
        leases.append((await refunds.get(case)).due_at)
        return await ask(*arguments)

    monkeypatch.setattr(refunds.desk, "refund", refund)
    await refunds.sweep()
    assert len(leases) == 2
    assert all(due_at and due_at > datetime.now(UTC) for due_at in leases)


async def test_an_order_waits_for_a_provider_that_is_away_or_has_no_client(
    refunds: RefundFixture,
) -> None:
    numbers = [await refunds.recharge() for _ in range(2)]
    orders = refunds.stores.database.collection("orders")
    await orders.update_one({"_id": numbers[0]}, {"$set": {"provider": "gone"}})
    case = await refunds.confirm(await refunds.open(*numbers))
    refunds.desk.is_down = True
    await refunds.sweep()
    problems = [order.problem for order in (await refunds.get(case)).orders]
    assert problems == ["no_provider", "pay_away"]


# ---- gifts


async def test_the_newest_gifts_are_reversed_and_leave_rankings(refunds: RefundFixture) -> None:
    bert, carl, _ = refunds.hosts
    await refunds.recharge(10)
    before = await refunds.give(bert, 10)
    number = await refunds.recharge(60)
    kept = await refunds.give(bert, 20)
    reversed_gifts = [await refunds.give(carl, 10), await refunds.give(bert, 30)]
    case = await refunds.open(number)
    assert [gift.key for gift in case.gifts] == [*reversed(reversed_gifts), kept]
    by_host = {host.user_id: (host.income, host.free, host.spent) for host in case.hosts}
    assert by_host == {bert: (25, 25, 0), carl: (5, 5, 0)}
    await refunds.confirm(case)
    assert (await refunds.balances())[0] == (0, 0, 60, 0)
    await refunds.sweep()
    assert await refunds.balances() == [(0, 0, 0, 0), (0, 5, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]
    assert await refunds.ranking() == {refunds.giver: (10, 0), bert: (0, 5)}
    assert not await refunds.stores.entries(_id=f"reversal:{before}")
    await refunds.check()


# ---- hosts' income


async def test_held_income_comes_back_and_paid_income_is_owed(refunds: RefundFixture) -> None:
    bert, carl, dora = refunds.hosts
    number = await refunds.recharge(100)
    for host in refunds.hosts:
        await refunds.give(host, 30)
    requested = await refunds.withdraw(bert, 15)
    awaiting = await refunds.submit(carl, 10)
    await refunds.pay_out(dora, 12)
    case = await refunds.open(number)
    where = {host.user_id: (host.income, host.free, host.held, host.paid) for host in case.hosts}
    assert where == {bert: (15, 0, 15, 0), carl: (15, 5, 10, 0), dora: (15, 3, 0, 12)}
    await refunds.confirm(case)
    await refunds.sweep()
    after = await refunds.get(case)
    taken = {gift.host: (gift.state, gift.taken, gift.owed) for gift in after.gifts}
    assert taken == {
        bert: ("reversed", 15, 0),
        carl: ("reversed", 15, 0),
        dora: ("reversed", 3, 12),
    }
    assert await refunds.balances() == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 12)]
    for withdrawal in (requested, awaiting):
        found = await refunds.stores.withdrawals.find(withdrawal.id)
        assert found
        assert (found.state, found.reason) == (WithdrawalState.RETURNED, "refund_case")
    assert not any(host.stopped for host in after.hosts)
    payees, hour_ago = refunds.process.payees, datetime.now(UTC) - timedelta(hours=1)
    since = Maturity(hour_ago, hour_ago)
    assert [await payees.recent_income(host, since) for host in refunds.hosts] == [0, 0, 0]
    await refunds.check()


async def test_an_open_transfer_delays_only_gifts_to_its_host(refunds: RefundFixture) -> None:
    bert, carl, _ = refunds.hosts
    number = await refunds.recharge(60)
    await refunds.give(bert, 30)
    await refunds.give(carl, 30)
    withdrawal = await refunds.submit(carl, 15)
    refunds.bank.cancels = False
    case = await refunds.open(number)
    await refunds.confirm(case)
    await refunds.sweep()
    waiting = await refunds.get(case)
    assert {gift.host: gift.state for gift in waiting.gifts} == {bert: "reversed", carl: "waiting"}
    assert (waiting.state, refunds.desk.calls) == ("reversing", [])
    with pytest.raises(WithdrawalsStopped):
        await refunds.process.withdrawals.request(Payee(carl, "wx1", "o1"), 1, "w2")
    refunds.bank.finish(withdrawal.id, TransferState.SUCCESS)  # the user was faster
    await refunds.sweep()
    assert (await refunds.get(case)).state == "refunding"
    assert (await refunds.balances())[2] == (0, 0, 0, 15)
    assert len(refunds.desk.refunds) == 1
    await refunds.check()


async def test_a_host_with_free_income_keeps_open_withdrawals(refunds: RefundFixture) -> None:
    bert, *_ = refunds.hosts
    await refunds.recharge(40)
    await refunds.give(bert, 40)
    number = await refunds.recharge(20)
    await refunds.give(bert, 20)
    withdrawal = await refunds.withdraw(bert, 20)
    await refunds.confirm(await refunds.open(number))
    await refunds.sweep()
    assert (await refunds.balances())[1] == (0, 0, 0, 0)
    found = await refunds.stores.withdrawals.find(withdrawal.id)
    assert found
    assert found.is_open
    await refunds.check()


# ---- several cases, and other reversals


async def test_two_cases_at_once_share_no_gift(refunds: RefundFixture) -> None:
    bert, *_ = refunds.hosts
    numbers = [await refunds.recharge(60) for _ in range(2)]
    gifts = [await refunds.give(bert, 60) for _ in range(2)]
    cases = [await refunds.open(number, request_id=number) for number in numbers]
    assert [case.gifts[0].key for case in cases] == [gifts[1]] * 2
    others = [RefundProcess(refunds.stores, refunds.bank, refunds.desk) for _ in cases]
    confirmations = [
        other.service.confirm(case.id, "pavel", "yes")
        for other, case in zip(others, cases, strict=True)
    ]
    results = await asyncio.gather(*confirmations, return_exceptions=True)
    [changed] = [n for n, result in enumerate(results) if isinstance(result, RefundChanged)]
    previewed = await refunds.get(cases[changed])
    assert (previewed.state, [gift.key for gift in previewed.gifts]) == ("opened", [gifts[0]])


async def test_a_gift_reversed_by_an_operator_meanwhile_is_skipped(refunds: RefundFixture) -> None:
    bert, *_ = refunds.hosts
    number = await refunds.recharge(60)
    gift = await refunds.give(bert, 60)
    case = await refunds.open(number)
    await refunds.confirm(case)
    await refunds.process.ledger_service.reverse(gift, "by mistake", "ops")
    await refunds.sweep()
    [step] = (await refunds.get(case)).gifts
    assert (step.state, step.taken) == ("already_reversed", 0)
    assert (await refunds.balances())[:2] == [(60, 0, 60, 0), (0, 0, 0, 0)]
    await refunds.check()


async def test_gifts_to_a_host_who_is_contended_wait_and_delay_no_others(
    refunds: RefundFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert, carl, *_ = refunds.hosts
    number = await refunds.recharge(60)
    for host in (bert, carl):
        await refunds.give(host, 20)
        await refunds.withdraw(host, 10)
    case = await refunds.confirm(await refunds.open(number))
    cancel = refunds.process.withdrawals.cancel_open

    async def contended(host: str, reason: str) -> bool:
        if host == bert:
            raise TryAgain
        return await cancel(host, reason)

    with monkeypatch.context() as contention:
        contention.setattr(refunds.process.withdrawals, "cancel_open", contended)
        await refunds.sweep()
    states = {gift.host: gift.state for gift in (await refunds.get(case)).gifts}
    assert states == {bert: "waiting", carl: "reversed"}
    await refunds.sweep()
    assert {gift.state for gift in (await refunds.get(case)).gifts} == {"reversed"}


# ---- sweeps


async def test_a_case_that_was_saved_meanwhile_is_looked_at_again(
    refunds: RefundFixture,
) -> None:
    """By a callback, or by another process after the lease has lapsed."""
    case = await refunds.confirm(await refunds.open(await refunds.recharge()))
    run_before(refunds.desk, "refund", lambda: refunds.callback(case))
    await refunds.sweep()
    assert (await refunds.get(case)).state == "closed"
