"""Requests, decisions and cancellations of withdrawals, on MongoDB and a bank in memory."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.errors import (
    IncomeNotMatured,
    NotCancellable,
    OverLimit,
    RealNameNeeded,
    RequestIdReused,
    TooLittle,
    WithdrawalNotFound,
    WithdrawalsStopped,
)
from ledger.journal import JournalEntry, Posting, reversal_key, user_account
from ledger.transfers import TransferState
from services.errors import SecondPersonRequired, WithdrawOff
from services.payouts import withdrawals
from storage.errors import AlreadyDecided
from tests.support.bank import UNCLEAR
from tests.support.storage import StoresFixture
from tests.support.timeouts import recorded_timeouts
from tests.support.waiting import until
from tests.support.withdrawal_fixture import WithdrawalFixture, WithdrawalProcess

# ---- request


async def test_a_request_holds_the_income_until_an_operator_has_approved(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request(105)
    assert (withdrawal.state, withdrawal.income, withdrawal.fen) == ("requested", 105, 1_050)
    assert await fixture.income() == 895
    await fixture.sweep()
    assert fixture.bank.sent == []
    await fixture.check()


async def test_a_withdrawal_is_paid_after_approval_and_confirmation(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    package = f"package of {withdrawal.id}"
    assert (withdrawal.state, withdrawal.package) == ("awaiting_user", package)
    paid = fixture.bank.finish(withdrawal.id, TransferState.SUCCESS)
    assert await fixture.notice(paid) == "done"
    assert (await fixture.stored(withdrawal.id)).state == "paid"
    assert await fixture.kinds() == ["withdrawal", "payout"]
    assert await fixture.income() == 900
    await fixture.check()


async def test_a_withdrawal_that_the_user_ignores_goes_back(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    closed = fixture.bank.finish(withdrawal.id, TransferState.FAIL, "OVERDUE_CLOSE")
    assert await fixture.notice(closed) == "done"
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.fail_reason) == ("returned", "OVERDUE_CLOSE")
    assert await fixture.kinds() == ["withdrawal", "return"]
    assert (await fixture.income(), await fixture.day_fen()) == (1_000, [0])
    await fixture.check()


async def test_repeated_requests_in_several_processes_are_one_withdrawal(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores, auto_fen=1_000)
    processes = [fixture.new_process() for _ in range(4)]
    answers = await asyncio.gather(
        *(
            process.service.request(fixture.user, 100, request_id)
            for request_id in ("r1", "r2")
            for process in processes
            for _ in range(5)
        )
    )
    assert len({(it.request_id, it.id, it.income, it.fen, it.package) for it in answers}) == 2
    assert len(fixture.bank.bills) == len(fixture.bank.sent) == 2
    assert await fixture.income() == 800
    await fixture.check()


async def test_a_request_id_cannot_be_used_for_another_amount(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    await fixture.request(100)
    with pytest.raises(RequestIdReused):
        await fixture.request(101)
    assert (await fixture.request(100)).income == 100


async def test_a_small_withdrawal_is_submitted_by_the_request_itself(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores, auto_fen=1_000)
    withdrawal = await fixture.request(100)
    assert (withdrawal.state, withdrawal.package[:7]) == ("awaiting_user", "package")
    assert await fixture.request(100) == await fixture.stored(withdrawal.id)


async def test_an_unclear_answer_leaves_the_withdrawal_submitted(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, auto_fen=1_000)
    fixture.bank.failures = [UNCLEAR]
    withdrawal = await fixture.request(100)
    assert (withdrawal.state, withdrawal.problem) == ("submitted", "UNCLEAR")
    await fixture.check()


async def test_a_request_does_not_wait_for_a_slow_wechat_pay(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = await WithdrawalFixture.create(stores, auto_fen=1_000)
    fixture.bank.answers = asyncio.Event()

    async def wait(steps: list[asyncio.Task[Any]], timeout: float) -> Any:
        assert timeout == withdrawals.SUBMIT_SECONDS
        await until(lambda: fixture.bank.sent)
        return await asyncio.wait(steps, timeout=0)

    patched = SimpleNamespace(**vars(asyncio) | {"wait": wait})
    monkeypatch.setattr(withdrawals, "asyncio", patched)
    assert (await fixture.request(100)).state == "submitted"
    assert len(fixture.bank.sent) == 1
    fixture.bank.answers.set()

    async def has_package() -> bool:
        return bool((await fixture.request(100)).package)

    await until(has_package)
    assert len(fixture.bank.sent) == 1, "the answer that came late was kept"


async def test_a_step_that_no_request_waits_for_is_given_up_in_the_end(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawals, "SUBMIT_SECONDS", 60)  # the step ends before
    fixture = await WithdrawalFixture.create(stores, auto_fen=1_000)
    fixture.bank.answers, limits = asyncio.Event(), recorded_timeouts(monkeypatch, withdrawals)
    requesting = asyncio.create_task(fixture.request(100))
    await until(lambda: fixture.bank.sent)
    limits[0].reschedule(0)
    assert (await requesting).state == "submitted"
    fixture.bank.answers = None
    await fixture.sweep()
    assert (await fixture.stored((await fixture.request(100)).id)).package


async def test_withdrawals_that_are_off_are_refused(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, enabled=False)
    with pytest.raises(WithdrawOff):
        await fixture.request(real_name="张三")
    assert not await fixture.process.payees.real_name(fixture.user.user_id)


async def test_a_repeated_request_is_answered_after_withdrawals_were_switched_off(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    off = WithdrawalProcess(stores, fixture.bank, fixture.settings, enabled=False)
    assert (await off.service.request(fixture.user, 100, "r1")).id == withdrawal.id


async def test_a_refused_request_does_not_store_the_name(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    for income, refusal in ((1, TooLittle), (1_001, IncomeNotMatured)):
        with pytest.raises(refusal):
            await fixture.request(income, real_name="张三")
    assert not await fixture.process.payees.real_name(fixture.user.user_id)


async def test_only_matured_income_can_be_withdrawn(stores: StoresFixture) -> None:
    fixture, now = await WithdrawalFixture.create(stores, 100), datetime.now(UTC)
    await fixture.gift(40, now - timedelta(days=7, minutes=1), "gift:a:1")
    await fixture.gift(50, now - timedelta(days=6, hours=23), "gift:a:2")
    await fixture.gift(60, now - timedelta(seconds=5), "gift:a:3")
    assert await fixture.matured() == 140
    with pytest.raises(IncomeNotMatured):
        await fixture.request(141)
    await fixture.request(140, "r2")
    assert await fixture.income() == 110


async def test_income_of_a_reversed_gift_counts_neither_as_recent_nor_as_matured(
    stores: StoresFixture,
) -> None:
    fixture, now = await WithdrawalFixture.create(stores, 100), datetime.now(UTC)
    anna = user_account(fixture.user.user_id)
    for key, income, at in (("gift:a:1", 50, timedelta(days=6)), ("gift:a:2", 30, timedelta(0))):
        await fixture.gift(income, now - at, key)
        lines = (Posting(anna, "income", -income), Posting("house", "income", income))
        reversal = JournalEntry(reversal_key(key), "reversal", "ops", lines, {"reverses": key})
        await fixture.write(reversal, now - at / 2)
        assert await fixture.matured() == 100
    await fixture.gift(50, now - timedelta(days=8), "gift:a:3")
    assert await fixture.matured() == 150
    await fixture.request(150)


async def test_a_debt_of_income_reduces_what_can_be_withdrawn(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, 100)
    users = fixture.database.collection("users")
    await users.update_one({"_id": fixture.user.user_id}, {"$set": {"owed_income": 30}})
    assert await fixture.matured() == 70
    with pytest.raises(IncomeNotMatured):
        await fixture.request(71)


async def test_limits_of_the_day_count_what_was_not_returned(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, user_day_fen=1_500, day_fen=1_200)
    first = await fixture.request(100)
    with pytest.raises(OverLimit, match="user_day"):
        await fixture.request(60, "r2")
    with pytest.raises(OverLimit, match=r": day\."):
        await fixture.request(30, "r3")
    assert (await fixture.income(), await fixture.day_fen()) == (900, [1_000])
    await fixture.service.decline(first.id, "finn", "no host")
    assert await fixture.day_fen() == [0]
    await fixture.request(120, "r4")
    with pytest.raises(TooLittle):
        await fixture.request(9, "r5")


async def test_two_requests_of_a_user_at_once_keep_the_limit_of_the_day(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores, user_day_fen=1_500)
    outcomes = await asyncio.gather(
        *(fixture.new_process().service.request(fixture.user, 100, f"r{n}") for n in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(it).__name__ for it in outcomes) == ["OverLimit"] * 3 + ["Withdrawal"]
    assert await fixture.income() == 900


async def test_a_user_makes_at_most_twenty_requests_a_day(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    user_id = fixture.user.user_id
    for n in range(20):
        withdrawal = await fixture.request(10, f"r{n}")
        await fixture.service.cancel(user_id, withdrawal.id)
    with pytest.raises(OverLimit, match="requests"):
        await fixture.request(10, "one more")
    assert (await fixture.request(10, "r0")).state == "returned", "a repetition is none"
    yesterday = {"$set": {"requested_at": datetime.now(UTC) - timedelta(days=1)}}
    withdrawals = fixture.database.collection("withdrawals")
    await withdrawals.update_one({"_id": withdrawal.id}, yesterday)
    assert (await fixture.request(10, "one more")).state == "requested"


async def test_the_name_and_the_second_operator_go_by_the_sum_of_the_day(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores, 30_000)
    first = await fixture.request(10_000, "r1")
    assert first.operators_needed == 1
    with pytest.raises(RealNameNeeded):
        await fixture.request(10_000, "r2")
    second = await fixture.request(10_000, "r2", real_name="张三")
    assert second.operators_needed == 2
    for name in ("finn", "olga"):
        await fixture.service.approve(second.id, name)
    await fixture.sweep()
    (body,) = fixture.bank.sent
    assert json.loads(body.text)["real_name"] == "张三"
    assert await fixture.process.payees.real_name(fixture.user.user_id) == "张三"
    stored = await fixture.database.collection("users").find_one({"_id": fixture.user.user_id})
    assert stored
    assert "张三".encode() not in stored["real_name"]
    await fixture.service.cancel(fixture.user.user_id, second.id)
    await fixture.service.cancel(fixture.user.user_id, first.id)
    assert (await fixture.request(10_000, "r3")).operators_needed == 1, "what is returned is none"


# ---- decisions


async def test_a_large_withdrawal_needs_two_different_operators(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, second_person_fen=500)
    withdrawal = await fixture.request()
    assert (await fixture.service.approve(withdrawal.id, "finn")).state == "requested"
    with pytest.raises(SecondPersonRequired):
        await fixture.service.approve(withdrawal.id, "finn")
    assert (await fixture.service.approve(withdrawal.id, "olga")).state == "approved"
    again = await fixture.service.approve(withdrawal.id, "finn")
    assert again.approvals == ("finn", "olga")
    with pytest.raises(AlreadyDecided):
        await fixture.service.approve(withdrawal.id, "mona")


async def test_an_approval_of_an_operator_who_has_left_does_not_count(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores, second_person_fen=500)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    fixture.process.left.add("finn")
    second = await fixture.service.approve(withdrawal.id, "olga")
    assert (second.state, second.approvals) == ("requested", ("olga",))
    assert (await fixture.service.approve(withdrawal.id, "mona")).state == "approved"


async def test_a_declined_withdrawal_is_returned_with_its_reason(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    for _ in range(2):
        declined = await fixture.service.decline(withdrawal.id, "finn", "no host")
        assert (declined.state, declined.reason) == ("returned", "no host")
    with pytest.raises(AlreadyDecided):
        await fixture.service.decline(withdrawal.id, "olga", "no host")
    with pytest.raises(AlreadyDecided):
        await fixture.service.approve(withdrawal.id, "olga")
    assert await fixture.kinds() == ["withdrawal", "return"]
    assert await fixture.income() == 1_000
    await fixture.check()


async def test_a_declined_withdrawal_that_is_submitted_is_cancelled_at_wechat_pay(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    declined = await fixture.service.decline(withdrawal.id, "finn", "no host")
    assert (declined.state, declined.reason) == ("returned", "no host")
    assert fixture.bank.cancelled == [withdrawal.id]
    await fixture.check()


async def test_a_paid_withdrawal_cannot_be_declined(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    fixture.bank.finish(withdrawal.id, TransferState.SUCCESS)
    await fixture.sweep()
    with pytest.raises(AlreadyDecided):
        await fixture.service.decline(withdrawal.id, "finn", "too late")
    for decide in (fixture.service.approve, fixture.service.cancel):
        with pytest.raises(WithdrawalNotFound):
            await decide("W0", "finn")


async def test_approval_and_decline_at_once_have_one_outcome(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    outcomes = await asyncio.gather(
        fixture.new_process().service.approve(withdrawal.id, "finn"),
        fixture.new_process().service.decline(withdrawal.id, "olga", "no"),
        return_exceptions=True,
    )
    stored = await fixture.stored(withdrawal.id)
    # The decline may follow the approval, as long as nothing was submitted.
    assert stored.state == ("approved" if isinstance(outcomes[1], Exception) else "returned")
    await fixture.check()


# ---- cancel


async def test_an_unsubmitted_withdrawal_is_cancelled_at_once(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    cancelled = await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    assert (cancelled.state, cancelled.decided_by) == ("returned", "user")
    with pytest.raises(NotCancellable):
        await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    with pytest.raises(WithdrawalNotFound):
        await fixture.service.cancel("12345678", withdrawal.id)
    assert fixture.bank.sent == fixture.bank.cancelled == []


async def test_a_submitted_withdrawal_is_cancelled_at_wechat_pay(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    cancelled = await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    assert cancelled.state == "returned"
    assert fixture.bank.cancelled == [withdrawal.id]
    assert await fixture.income() == 1_000
    await fixture.check()


async def test_a_confirmation_before_the_cancellation_pays(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    fixture.bank.finish(withdrawal.id, TransferState.SUCCESS)
    cancelled = await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    assert (cancelled.state, fixture.bank.cancelled) == ("paid", [])
    await fixture.check()


# ---- refund cases


async def test_a_refund_case_stops_withdrawals_until_it_resumes_them(
    stores: StoresFixture,
) -> None:
    fixture, user_id = await WithdrawalFixture.create(stores), ""
    user_id = fixture.user.user_id
    for case in ("c1", "c2", "c1"):
        await stores.ledger.run_transaction(
            lambda tx, case=case: fixture.process.payees.stop(tx, user_id, case)  # type: ignore[misc]
        )
    await fixture.process.payees.resume(user_id, "c1")
    with pytest.raises(WithdrawalsStopped):
        await fixture.request()
    assert await fixture.matured() == 0
    await fixture.process.payees.resume(user_id, "c2")
    assert (await fixture.request()).state == "requested"


async def test_open_withdrawals_are_held_back_until_none_is_open(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    user_id = fixture.user.user_id
    assert await fixture.service.hold_back(user_id, "a minor")
    submitted, requested = await fixture.submitted(), await fixture.request(50, "r2")
    fixture.bank.down = True
    assert not await fixture.service.hold_back(user_id, "a minor")
    assert (await fixture.stored(requested.id)).state == "returned"
    assert (await fixture.stored(submitted.id)).is_cancelling
    fixture.bank.down = False
    assert await fixture.service.hold_back(user_id, "a minor")
    assert (await fixture.stored(submitted.id)).state == "returned"
    assert await fixture.income() == 1_000
    await fixture.check()


# ---- lists


async def test_a_user_sees_the_newest_withdrawals_first(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    ids = [(await fixture.request(100, f"r{n}")).id for n in range(3)]
    first = await fixture.service.page(fixture.user.user_id, 1, 2)
    assert ([it.id for it in first.withdrawals], first.has_more) == ([ids[2], ids[1]], True)
    last = await fixture.service.page(fixture.user.user_id, 2, 2)
    assert ([it.id for it in last.withdrawals], last.has_more) == ([ids[0]], False)
    assert last.matured == 700
