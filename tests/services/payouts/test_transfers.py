"""The sweep and notifications: unclear answers, transfers sent again, one effect of many."""

import asyncio
import json
from collections import Counter
from functools import partial
from typing import Any

import pytest

from ledger.transfers import Transfer, TransferState
from storage.jobs.inbox import InboxMessage
from tencent.transfers import TRANSFER
from tests.support.callback_storm import REPETITIONS, CallbackStorm, ReceivedCallback
from tests.support.storage import StoresFixture
from tests.support.waiting import until
from tests.support.withdrawal_fixture import WithdrawalFixture, WithdrawalProcess
from tests.support.withdrawals import LOST, TOO_FAST, UNCLEAR, stated


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
    payouts: WithdrawalFixture, failure: str, problem: str, bodies: int
) -> None:
    """Only a body that was refused is replaced: another would be refused, or paid twice."""
    payouts.bank.serial, payouts.bank.failures = "PUB_KEY_ID_1", [failure]
    withdrawal = await payouts.submitted()
    payouts.bank.serial = "PUB_KEY_ID_2"  # which is part of a body
    assert (withdrawal.state, withdrawal.problem) == ("submitted", problem)
    assert await payouts.income() == 900
    for _ in range(3):
        await payouts.sweep()
    stored = await payouts.stored(withdrawal.id)
    assert (stored.state, stored.problem) == ("awaiting_user", "")
    assert stored.package == f"package of {stored.id}"
    sent = payouts.bank.sent
    assert [json.loads(body.text)["number"] for body in sent] == 2 * [withdrawal.id]
    assert len({*sent}) == bodies
    await payouts.check()


async def test_a_transfer_that_stays_refused_is_returned_after_a_day(
    payouts: WithdrawalFixture,
) -> None:
    payouts.bank.failures = ["NO_AUTH"] * 10
    withdrawal = await payouts.submitted()
    assert not await payouts.service.cancel_open(payouts.user.user_id, "a minor")
    await payouts.age(withdrawal.id, hours=23)
    for _ in range(3):
        await payouts.sweep()
    assert (await payouts.stored(withdrawal.id)).state == "submitted"
    assert len(payouts.bank.sent) == 1, "a cancelled transfer that was refused is not sent again"
    await payouts.age(withdrawal.id, hours=1)
    assert await payouts.service.cancel_open(payouts.user.user_id, "a minor")
    stored = await payouts.stored(withdrawal.id)
    assert (stored.state, stored.fail_reason) == ("returned", "NO_AUTH")
    assert (await payouts.income(), await payouts.day_fen()) == (1_000, [0])
    await payouts.check()


async def test_a_transfer_is_cancelled_after_it_was_sent(payouts: WithdrawalFixture) -> None:
    withdrawal = await payouts.request()
    await payouts.service.approve(withdrawal.id, "finn")
    payouts.bank.answers, other = asyncio.Event(), payouts.new_process()
    sending = asyncio.create_task(payouts.sweep())
    await until(lambda: payouts.bank.sent)
    payouts.bank.down = True
    await other.service.cancel(payouts.user.user_id, withdrawal.id)
    payouts.bank.down = False
    payouts.bank.answers.set()
    await sending
    assert (await payouts.stored(withdrawal.id)).state == "returned"


async def test_a_lost_notification_is_made_up_for_by_a_query(payouts: WithdrawalFixture) -> None:
    paid, returned = await payouts.submitted(), await payouts.submitted(50, "r2")
    payouts.bank.finish(paid.id, TransferState.SUCCESS)
    payouts.bank.finish(returned.id, TransferState.FAIL, "OVERDUE_CLOSE")
    assert await payouts.notification(None) == "ignored"
    await payouts.sweep()
    assert (await payouts.stored(paid.id)).state == "paid"
    assert (await payouts.stored(returned.id)).fail_reason == "OVERDUE_CLOSE"
    assert await payouts.income() == 900
    told = await payouts.stores.told(payouts.user.user_id)
    assert {type_ for type_, _ in told} == {"withdrawal"}
    states = [data["state"] for _, data in told if data["withdrawal_id"] == returned.id]
    assert (states[0], states[-1]) == ("approved", "returned")
    assert len(states) == len(set(states))
    assert await payouts.database.collection("withdrawals").distinct("due_at") == [None]
    await payouts.check()


async def test_several_processes_submit_a_withdrawal_once(payouts: WithdrawalFixture) -> None:
    withdrawal = await payouts.request()
    await payouts.service.approve(withdrawal.id, "finn")
    approved = await payouts.stored(withdrawal.id)
    processes = [payouts.new_process() for _ in range(4)]
    await asyncio.gather(*(process.transfers.run_step(approved) for process in processes))
    assert len(payouts.bank.sent) == 1
    assert (await payouts.stored(withdrawal.id)).state == "awaiting_user"


async def test_a_refused_cancellation_is_a_problem(payouts: WithdrawalFixture) -> None:
    withdrawal = await payouts.submitted()
    number = withdrawal.id
    payouts.bank.bills[number].state = TransferState.TRANSFERING
    cancelled = await payouts.service.cancel(payouts.user.user_id, withdrawal.id)
    assert (cancelled.state, cancelled.problem) == ("awaiting_user", "INVALID_REQUEST")
    queries = payouts.bank.queries
    assert await payouts.service.cancel(payouts.user.user_id, withdrawal.id) == cancelled
    assert payouts.bank.queries == queries, "a repetition asks nothing"
    payouts.bank.finish(number, TransferState.SUCCESS)
    await payouts.sweep()
    assert (await payouts.stored(withdrawal.id)).state == "paid"
    await payouts.check()


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


async def test_an_answer_that_does_not_match_is_a_problem(payouts: WithdrawalFixture) -> None:
    withdrawal = await payouts.submitted()
    payouts.bank.finish(withdrawal.id, TransferState.SUCCESS)
    payouts.bank.bills[withdrawal.id].fen = 999
    await payouts.sweep()
    stored = await payouts.stored(withdrawal.id)
    assert (stored.state, stored.problem) == ("awaiting_user", "MISMATCH_AMOUNT")


# ---- notifications

WRONG: dict[str, dict[str, Any]] = {
    "amount": {"fen": 1_001},
    "payee": {"openid": "oAnother"},
    "bill": {"number": "W202603011200000a1b2c3d4e5f60"},
}
"""Changes that make a notification wrong, by the reason of its refusal."""


async def test_shuffled_late_forged_and_wrong_notifications_have_one_effect(
    payouts: WithdrawalFixture,
) -> None:
    """The third withdrawal gets notifications that contradict each other."""
    sent = list[ReceivedCallback]()

    def send(transfer: Transfer, forged: str = "") -> None:
        message = InboxMessage(TRANSFER, f"{len(sent)}", "", "{}")
        book = partial(payouts.process.transfers.record, transfer, "")
        sent.append(ReceivedCallback(message, forged, book))

    ids = [(await payouts.submitted(100, f"r{n}")).id for n in range(3)]
    ends = (TransferState.SUCCESS, TransferState.FAIL)
    for id_, state in (*zip(ids, ends, strict=False), *((ids[2], end) for end in ends)):
        genuine = stated(state, number=id_, openid=payouts.user.openid)
        for _ in range(2):
            send(genuine)
        send(genuine, "sign")
    for changes in WRONG.values():
        openid = payouts.user.openid
        send(stated(TransferState.SUCCESS, **{"number": ids[0], "openid": openid, **changes}))
    callbacks = CallbackStorm(payouts.database)
    await callbacks.receive_all(sent)
    states = [(await payouts.stored(id_)).state for id_ in ids]
    assert states[:2] == ["paid", "returned"]
    ended = "payout" if states[2] == "paid" else "return"
    assert Counter(await payouts.kinds()) == (
        Counter({"withdrawal": 3, "payout": 1, "return": 1}) + Counter([ended])
    )
    assert await payouts.income() == 800 + 100 * (ended == "return")
    refused = {reason: callbacks.outcomes[reason] for reason in ("sign", "state", *WRONG)}
    expected = {"sign": 4, "state": 2} | dict.fromkeys(WRONG, 1)
    assert refused == {reason: n * REPETITIONS for reason, n in expected.items()}
