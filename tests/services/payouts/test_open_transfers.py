"""The sweep: unclear answers, lost and late notices, transfers sent again."""

import asyncio
import json

import pytest

from ledger.transfers import TransferState
from tests.support.storage import StoresFixture
from tests.support.waiting import until
from tests.support.withdrawal_fixture import WithdrawalFixture, WithdrawalProcess
from tests.support.withdrawals import LOST, TOO_FAST, UNCLEAR


@pytest.mark.parametrize(
    ("failure", "problem", "bodies"),
    [
        (UNCLEAR, "UNCLEAR", 1),
        (LOST, "UNCLEAR", 1),
        (TOO_FAST, "FREQUENCY_LIMITED", 1),
        ("NOT_ENOUGH", "NOT_ENOUGH", 1),
        ("NO_AUTH", "NO_AUTH", 2),
    ],
)
async def test_a_transfer_that_failed_is_sent_once_more_under_its_number(
    stores: StoresFixture, failure: str, problem: str, bodies: int
) -> None:
    """Only a body that was refused is replaced: another would be refused, or paid twice."""
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.serial, fixture.bank.failures = "PUB_KEY_ID_1", [failure]
    withdrawal = await fixture.submitted()
    fixture.bank.serial = "PUB_KEY_ID_2"  # which is part of a body
    assert (withdrawal.state, withdrawal.problem) == ("submitted", problem)
    assert await fixture.income() == 900
    for _ in range(3):
        await fixture.sweep()
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.problem) == ("awaiting_user", "")
    assert stored.package == f"package of {stored.id}"
    sent = fixture.bank.sent
    assert [json.loads(body.text)["number"] for body in sent] == 2 * [withdrawal.id]
    assert len({*sent}) == bodies
    await fixture.check()


async def test_a_transfer_that_stays_refused_is_returned_after_a_day(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = ["NO_AUTH"] * 10
    withdrawal = await fixture.submitted()
    assert not await fixture.service.cancel_open(fixture.user.user_id, "a minor")
    await fixture.age(withdrawal.id, hours=23)
    for _ in range(3):
        await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "submitted"
    assert len(fixture.bank.sent) == 1, "a cancelled transfer that was refused is not sent again"
    await fixture.age(withdrawal.id, hours=1)
    assert await fixture.service.cancel_open(fixture.user.user_id, "a minor")
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.fail_reason) == ("returned", "NO_AUTH")
    assert (await fixture.income(), await fixture.day_fen()) == (1_000, [0])
    await fixture.check()


async def test_a_transfer_is_cancelled_after_it_was_sent(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    fixture.bank.answers, other = asyncio.Event(), fixture.new_process()
    sending = asyncio.create_task(fixture.sweep())
    await until(lambda: fixture.bank.sent)
    fixture.bank.down = True
    await other.service.cancel(fixture.user.user_id, withdrawal.id)
    fixture.bank.down = False
    fixture.bank.answers.set()
    await sending
    assert (await fixture.stored(withdrawal.id)).state == "returned"


async def test_a_lost_notice_is_made_up_for_by_a_query(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    paid, returned = await fixture.submitted(), await fixture.submitted(50, "r2")
    fixture.bank.finish(paid.id, TransferState.SUCCESS)
    fixture.bank.finish(returned.id, TransferState.FAIL, "OVERDUE_CLOSE")
    assert await fixture.notice(None) == "ignored"
    await fixture.sweep()
    assert (await fixture.stored(paid.id)).state == "paid"
    assert (await fixture.stored(returned.id)).fail_reason == "OVERDUE_CLOSE"
    assert await fixture.income() == 900
    assert await fixture.database.collection("withdrawals").distinct("due_at") == [None]
    await fixture.check()


async def test_several_processes_submit_a_withdrawal_once(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    approved = await fixture.stored(withdrawal.id)
    processes = [fixture.new_process() for _ in range(4)]
    await asyncio.gather(*(process.transfers.run_step(approved) for process in processes))
    assert len(fixture.bank.sent) == 1
    assert (await fixture.stored(withdrawal.id)).state == "awaiting_user"


async def test_a_refused_cancellation_is_a_problem(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    number = withdrawal.id
    fixture.bank.bills[number].state = TransferState.TRANSFERING
    cancelled = await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    assert (cancelled.state, cancelled.problem) == ("awaiting_user", "INVALID_REQUEST")
    queries = fixture.bank.queries
    assert await fixture.service.cancel(fixture.user.user_id, withdrawal.id) == cancelled
    assert fixture.bank.queries == queries, "a repetition asks nothing"
    fixture.bank.finish(number, TransferState.SUCCESS)
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "paid"
    await fixture.check()


async def test_without_a_merchant_open_withdrawals_stay(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    unreadable = await fixture.process.transfers.reprocess("{}")
    fixture.process = WithdrawalProcess(stores, None, fixture.settings)
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "approved"
    unknown = await fixture.process.transfers.reprocess("{}")
    for outcome, reason in ((unreadable, "unreadable"), (unknown, "no_key")):
        assert (outcome.outcome, outcome.reason) == ("refused", reason)


async def test_an_answer_that_does_not_match_is_a_problem(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    fixture.bank.finish(withdrawal.id, TransferState.SUCCESS)
    fixture.bank.bills[withdrawal.id].fen = 999
    await fixture.sweep()
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.problem) == ("awaiting_user", "MISMATCH_AMOUNT")
