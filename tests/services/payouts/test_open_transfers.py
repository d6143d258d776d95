"""The sweep: unclear answers, lost and late notices, transfers sent again."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from ledger.transfers import TransferBody, TransferState
from ledger.withdrawals import Withdrawal, WithdrawalState
from services.payouts import transfers as module
from tests.support.bank import LOST, TOO_FAST, UNCLEAR
from tests.support.storage import StoresFixture
from tests.support.timeouts import recorded_timeouts
from tests.support.waiting import until
from tests.support.withdrawal_fixture import WithdrawalFixture, WithdrawalProcess


async def test_a_transfer_after_an_unclear_answer_is_queried_and_then_sent_for_its_package(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = [UNCLEAR]
    withdrawal = await fixture.submitted()
    assert (withdrawal.state, withdrawal.problem) == ("submitted", "UNCLEAR")
    await fixture.sweep()
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.problem) == ("awaiting_user", "")
    assert stored.package == f"package of {stored.id}"
    assert len(fixture.bank.sent) == 2
    assert len({*fixture.bank.sent}) == 1
    await fixture.sweep()
    assert len(fixture.bank.sent) == 2, "the package is known"


@pytest.mark.parametrize("failure", [LOST, "SYSTEM_ERROR"])
async def test_a_transfer_that_stays_missing_is_sent_again_with_the_same_body(
    stores: StoresFixture, failure: str
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = [failure, failure]
    withdrawal = await fixture.submitted()
    for sent in (1, 2, 2, 3):
        await fixture.sweep()
        assert len(fixture.bank.sent) == sent
    assert len({*fixture.bank.sent}) == 1, "another body would be refused, or paid twice"
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, bool(stored.package)) == ("awaiting_user", True)
    await fixture.check()


@pytest.mark.parametrize("failure", ["NOT_ENOUGH", TOO_FAST])
async def test_a_refused_transfer_is_sent_again_under_its_number(
    stores: StoresFixture, failure: str
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = [failure]
    withdrawal = await fixture.submitted()
    assert withdrawal.problem in ("NOT_ENOUGH", "FREQUENCY_LIMITED")
    assert await fixture.income() == 900
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "awaiting_user"
    assert len({*fixture.bank.sent}) == 1


async def test_a_transfer_is_sent_again_with_the_serial_that_its_name_was_encrypted_for(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.serial, fixture.bank.failures = "PUB_KEY_ID_1", ["NOT_ENOUGH", "NO_AUTH"]
    withdrawal = await fixture.submitted()
    fixture.bank.serial = "PUB_KEY_ID_2"
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).refusal == "NO_AUTH"
    for _ in range(2):
        await fixture.sweep()
    assert [body.serial for body in fixture.bank.sent] == [
        *("PUB_KEY_ID_1", "PUB_KEY_ID_1"),
        "PUB_KEY_ID_2",  # a new body, since the old one was refused
    ]


async def test_a_transfer_that_wechat_pay_keeps_refusing_is_returned_a_day_after_it_was_declined(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = ["NO_AUTH"] * 10
    withdrawal = await fixture.submitted()
    assert not await fixture.service.hold_back(fixture.user.user_id, "a minor")
    await fixture.age(withdrawal.id, hours=23)
    for _ in range(3):
        await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "submitted"
    assert len(fixture.bank.sent) == 1, "a cancelled transfer that was refused is not sent again"
    await fixture.age(withdrawal.id, hours=1)
    assert await fixture.service.hold_back(fixture.user.user_id, "a minor")
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.fail_reason) == ("returned", "NO_AUTH")
    assert (await fixture.income(), await fixture.day_fen()) == (1_000, [0])
    await fixture.check()


async def test_a_lost_transfer_that_is_cancelled_is_sent_again_and_cancelled_at_once(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = [LOST]
    withdrawal = await fixture.submitted()
    for _ in range(3):
        cancelled = await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
        assert cancelled.missing == 1
    assert (len(fixture.bank.sent), fixture.bank.queries) == (1, 1), "a repetition asks nothing"
    await fixture.sweep()
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, len(fixture.bank.sent)) == ("returned", 2)
    assert fixture.bank.cancelled == [withdrawal.id]
    await fixture.check()


async def test_a_transfer_that_is_cancelled_while_it_is_sent_is_cancelled_after_the_answer(
    stores: StoresFixture,
) -> None:
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


@pytest.mark.parametrize("refusal", ["PARAM_ERROR", "INVALID_REQUEST", "NO_AUTH"])
async def test_a_refused_body_is_replaced_under_the_same_number(
    stores: StoresFixture, refusal: str
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.failures = [refusal]
    withdrawal = await fixture.submitted()
    for _ in range(2):
        await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "awaiting_user"
    assert [json.loads(body.text)["number"] for body in fixture.bank.sent] == (2 * [withdrawal.id])
    assert len({*fixture.bank.sent}) == 2


async def test_a_transfer_whose_funds_are_not_locked_is_sent_again_after_a_while(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.first_state = TransferState.PROCESSING
    withdrawal = await fixture.submitted()
    await fixture.sweep()
    assert len(fixture.bank.sent) == 1
    await fixture.age(withdrawal.id, minutes=15)
    await fixture.sweep()
    assert len(fixture.bank.sent) == 2
    assert len({*fixture.bank.sent}) == 1


async def test_a_lost_notice_is_made_up_for_by_a_query(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    paid, returned = await fixture.submitted(), await fixture.submitted(50, "r2")
    fixture.bank.finish(paid.id, TransferState.SUCCESS)
    fixture.bank.finish(returned.id, TransferState.FAIL, "OVERDUE_CLOSE")
    await fixture.sweep()
    assert (await fixture.stored(paid.id)).state == "paid"
    assert (await fixture.stored(returned.id)).fail_reason == "OVERDUE_CLOSE"
    assert await fixture.income() == 900
    rows = await fixture.rows()
    assert [row["due_at"] for row in rows] == [None, None]
    await fixture.check()


async def test_notices_in_any_number_have_one_effect_and_wrong_ones_none(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    number = (await fixture.submitted()).id
    notice = fixture.bank.finish(number, TransferState.SUCCESS)
    wrong = {
        "amount": replace(notice, fen=999),
        "payee": replace(notice, openid="o2"),
        "bill": replace(notice, number=number[:-2] + "zz"),
    }
    for reason, transfer in wrong.items():
        assert await fixture.notice(transfer) == reason
    assert await fixture.notice(replace(notice, number="W1")) == "bill"
    assert await fixture.kinds() == ["withdrawal"]
    processes = [fixture.new_process() for _ in range(4)]
    outcomes = await asyncio.gather(
        *(process.transfers.book(notice, "") for process in processes for _ in range(5))
    )
    assert {outcome.outcome for outcome in outcomes} == {"done"}
    assert await fixture.notice(replace(notice, state=TransferState.FAIL)) == "state"
    assert await fixture.kinds() == ["withdrawal", "payout"]
    assert await fixture.notice(None) == "ignored"
    await fixture.check()


async def test_a_stored_notice_that_can_no_longer_be_read_is_refused(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    for bank, reason in ((None, "no_key"), (fixture.bank, "unreadable")):
        process = WithdrawalProcess(stores, bank, fixture.settings)
        outcome = await process.transfers.reprocess("{}")
        assert (outcome.outcome, outcome.reason) == ("refused", reason)


async def test_a_notice_before_the_submission_is_refused(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    content = {"number": withdrawal.id, "fen": 1_000, "openid": "o"}
    await fixture.bank.create(TransferBody(json.dumps(content)))
    notice = fixture.bank.finish(withdrawal.id, TransferState.SUCCESS)
    openid = fixture.user.openid
    assert await fixture.notice(replace(notice, openid=openid)) == "state"
    assert await fixture.income() == 900


async def test_several_processes_submit_a_withdrawal_once(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    processes = [fixture.new_process() for _ in range(4)]

    async def advance(process: WithdrawalProcess) -> None:
        await process.transfers.advance(await fixture.stored(withdrawal.id))

    await asyncio.gather(*map(advance, processes))
    assert len({*fixture.bank.sent}) == 1
    assert (await fixture.stored(withdrawal.id)).state == "awaiting_user"


async def test_a_withdrawal_in_progress_is_not_claimed_again(stores: StoresFixture) -> None:
    """During a query, since nothing is saved before its answer: only the lease says so."""
    fixture = await WithdrawalFixture.create(stores)
    await fixture.submitted()
    fixture.bank.answers = answers = asyncio.Event()
    sweeping = asyncio.create_task(fixture.sweep())
    await until(lambda: fixture.bank.queries)
    fixture.bank.answers = None
    await fixture.new_process().sweep.sweep()
    answers.set()
    await sweeping
    assert (fixture.bank.queries, len(fixture.bank.sent)) == (1, 1)


async def test_a_cancellation_that_wechat_pay_refuses_is_a_problem_of_the_withdrawal(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    number = withdrawal.id
    fixture.bank.bills[number].state = TransferState.TRANSFERING
    cancelled = await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    assert (cancelled.state, cancelled.problem) == ("awaiting_user", "INVALID_REQUEST")
    fixture.bank.finish(number, TransferState.SUCCESS)
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "paid"
    await fixture.check()


async def test_an_answer_that_does_not_match_is_a_problem_of_the_withdrawal(
    stores: StoresFixture,
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.submitted()
    number = withdrawal.id
    fixture.bank.bills[number].fen = 999
    fixture.bank.bills[number].state = TransferState.SUCCESS
    await fixture.sweep()
    stored = await fixture.stored(withdrawal.id)
    assert (stored.state, stored.problem) == ("awaiting_user", "MISMATCH_AMOUNT")


async def test_an_error_of_one_withdrawal_does_not_keep_the_others(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    first, second = await fixture.submitted(), await fixture.submitted(50, "r2")
    del fixture.bank.bills[first.id]
    fixture.bank.finish(second.id, TransferState.SUCCESS)

    def fail_once() -> None:
        fixture.bank.before_query = None
        raise RuntimeError("a test")

    fixture.bank.before_query = fail_once
    with capture_logs() as logs:
        await fixture.sweep()
    assert [entry["event"] for entry in logs].count("claim_failed") == 1
    await fixture.sweep()
    assert (await fixture.stored(second.id)).state == WithdrawalState.PAID


async def test_a_failed_claim_does_not_interrupt_those_in_progress(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    fixture.bank.answers, claim = asyncio.Event(), fixture.process.store.claim

    async def claim_once(lease: timedelta) -> Withdrawal | None:
        if not fixture.bank.sent and (claimed := await claim(lease)):
            return claimed
        await until(lambda: fixture.bank.sent)
        assert fixture.bank.answers
        fixture.bank.answers.set()
        raise RuntimeError("no database")

    monkeypatch.setattr(fixture.process.store, "claim", claim_once)
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).package


async def test_a_withdrawal_that_takes_too_long_is_continued_later(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = await WithdrawalFixture.create(stores)
    fixture.bank.answers, limits = asyncio.Event(), recorded_timeouts(monkeypatch, module)
    submitting = asyncio.create_task(fixture.submitted())
    await until(lambda: fixture.bank.sent)
    limits[0].reschedule(0)  # not before: what is cancelled is the wait for WeChat Pay
    withdrawal = await submitting
    assert withdrawal.state == "submitted"
    fixture.bank.answers = None
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "awaiting_user"


async def test_without_a_merchant_open_withdrawals_stay(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    await fixture.service.approve(withdrawal.id, "finn")
    process = WithdrawalProcess(stores, None, fixture.settings)
    fixture.process = process
    await fixture.sweep()
    assert (await fixture.stored(withdrawal.id)).state == "approved"
