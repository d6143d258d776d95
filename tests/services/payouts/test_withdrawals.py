"""Requests, decisions and cancellations of withdrawals, on MongoDB and a bank in memory."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ledger import withdrawal_requests
from ledger.errors import (
    IncomeNotMatured,
    OverLimit,
    RealNameNeeded,
    RequestIdReused,
    TooLittle,
    WithdrawalNotFound,
    WithdrawalsStopped,
)
from ledger.journal import negate
from ledger.transfers import TransferState
from services.errors import SecondPersonRequired, WithdrawOff
from services.payouts import withdrawals
from storage.errors import AlreadyDecided
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock
from tests.support.waiting import until
from tests.support.withdrawal_fixture import WithdrawalFixture, WithdrawalProcess

# ---- request


async def test_repeated_requests_are_one_withdrawal(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawals, "SUBMIT_SECONDS", 60.0)
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
    rows = {(row.request_id, row.id, row.income, row.fen, row.package) for row in answers}
    assert len(rows) == 2
    assert len(fixture.bank.bills) == len(fixture.bank.sent) == 2
    assert await fixture.income() == 800
    await fixture.check()


async def test_a_repeated_request_is_answered_though_off(stores: StoresFixture) -> None:
    """A small one is submitted by the request itself."""
    fixture = await WithdrawalFixture.create(stores, auto_fen=1_000)
    withdrawal = await fixture.request(100)
    assert (withdrawal.state, withdrawal.package[:7]) == ("awaiting_user", "package")
    with pytest.raises(RequestIdReused):
        await fixture.request(101)
    off = WithdrawalProcess(stores, fixture.bank, fixture.settings, enabled=False)
    repeated = await off.service.request(fixture.user, 100, "r1")
    assert repeated == await fixture.stored(withdrawal.id)
    with pytest.raises(WithdrawOff):
        await off.service.request(fixture.user, 100, "r2")


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


async def test_only_matured_income_can_be_withdrawn(stores: StoresFixture) -> None:
    fixture, now = await WithdrawalFixture.create(stores, 100), datetime.now(UTC)
    await fixture.gift(40, now - timedelta(days=7, minutes=1), "gift:a:1")
    await fixture.gift(50, now - timedelta(days=6, hours=23), "gift:a:2")
    await fixture.gift(60, now - timedelta(seconds=5), "gift:a:3")
    assert await fixture.matured() == 140
    users = fixture.database.collection("users")
    await users.update_one({"_id": fixture.user.user_id}, {"$set": {"owed_income": 30}})
    assert await fixture.matured() == 110, "less what is owed"
    with pytest.raises(IncomeNotMatured):
        await fixture.request(111)
    withdrawal = await fixture.request(110, "r2")
    assert (await fixture.income(), await fixture.matured()) == (140, 0)
    await fixture.service.cancel(fixture.user.user_id, withdrawal.id)
    assert await fixture.matured() == 110, "at once"


async def test_a_day_counts_every_request_and_the_fen_that_were_not_returned(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawal_requests, "REQUESTS_PER_DAY", 2)
    fixture = await WithdrawalFixture.create(stores, user_day_fen=1_500, day_fen=1_200)
    first = await fixture.request(100)
    for income, limit in ((60, "user_day"), (30, r": day\.")):
        with pytest.raises(OverLimit, match=limit):
            await fixture.request(income, "refused")
    assert (await fixture.income(), await fixture.day_fen()) == (900, [1_000])
    await fixture.service.decline(first.id, "finn", "no host")
    assert await fixture.day_fen() == [0]
    await fixture.request(100, "r2")
    with pytest.raises(OverLimit, match="requests"):
        await fixture.request(10, "r3")
    assert (await fixture.request(100)).id == first.id, "a repetition does not count"
    yesterday = {"$set": {"requested_at": datetime.now(UTC) - timedelta(days=1)}}
    rows = fixture.database.collection("withdrawals")
    await rows.update_one({"_id": first.id}, yesterday)
    assert (await fixture.request(10, "r3")).state == "requested"


async def test_requests_at_once_keep_the_limit_of_the_day(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, user_day_fen=1_500)
    outcomes = await asyncio.gather(
        *(fixture.new_process().service.request(fixture.user, 100, f"r{n}") for n in range(4)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, OverLimit)]
    assert len(refused) == 3
    assert await fixture.income() == 900


async def test_name_and_second_operator_go_by_the_sum_of_the_day(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, 30_000)
    assert (await fixture.request(10_000, "r1")).operators_needed == 1
    with pytest.raises(RealNameNeeded):
        await fixture.request(10_000, "r2")
    for income, refusal in ((1, TooLittle), (10_001, OverLimit)):
        with pytest.raises(refusal):
            await fixture.request(income, "r2", real_name="张三")
    assert not await fixture.process.payees.real_name(fixture.user.user_id)
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


async def test_a_withdrawal_has_the_rate_of_its_day(stores: StoresFixture) -> None:
    fixture, now = await WithdrawalFixture.create(stores), datetime.now(UTC)
    for at, request_id, fen in ((now + timedelta(hours=1), "r1", 1_000), (now, "r2", 2_000)):
        await stores.configs.edit(1, next={"fields": {"value": 0.2}, "at": at})
        assert (await fixture.request(100, request_id)).fen == fen
    assert (await fixture.request(100, "r1")).fen == 1_000, "a repetition keeps that of its day"


# ---- matured income


async def test_income_is_recent_from_its_gift_on_though_older_sums_are_kept(
    stores: StoresFixture, clock: Clock
) -> None:
    fixture = await WithdrawalFixture.create(stores, 100)
    cache = withdrawals.MaturedIncome(stores.payees, fixture.settings)
    user_id, now = fixture.user.user_id, datetime.now(UTC)
    await fixture.gift(40, now, "gift:a:1")
    assert await cache.recent(user_id) == 40
    await fixture.gift(5, now, "gift:a:2")
    assert await cache.recent(user_id) == 45
    await fixture.gift(3, now - timedelta(hours=1), "gift:a:3")  # a sum that is kept
    assert await cache.recent(user_id) == 45
    clock.now += withdrawals.CACHED_SECONDS
    assert await cache.recent(user_id) == 48


async def test_income_matures_by_the_provider_and_not_that_of_a_reversed_gift(
    stores: StoresFixture,
) -> None:
    """Apple pays later; a gift may be reversed in the minute that is not kept."""
    fixture = await WithdrawalFixture.create(stores, 100, maturity_days=7, ios_maturity_days=45)
    user_id, now = fixture.user.user_id, datetime.now(UTC)
    await stores.make_indexes()

    async def matured() -> int:
        return await withdrawals.MaturedIncome(stores.payees, fixture.settings).of(user_id)

    for days, income, ios in ((1, 1, True), (6, 2, False), (8, 4, False), (8, 8, True)):
        await fixture.gift(income, now - timedelta(days=days), f"gift:{income}", ios=ios)
    for key, days in (("gift:16", 44), ("gift:32", 44), ("gift:64", 46)):
        await fixture.gift(int(key[5:]), now - timedelta(days=days), key, ios=True)
    await fixture.gift(128, now, "gift:128")
    assert await matured() == 100 + 4 + 64
    for key, days in (("gift:16", 20), ("gift:8", 2), ("gift:2", 3), ("gift:128", 0)):
        entry = await stores.ledger.entry(key)
        assert entry
        reversal = replace(entry, key=f"reversal:{key}", kind="reversal", lines=negate(entry.lines))
        at = now - timedelta(days=days)
        await fixture.write(replace(reversal, content={"reverses": key}), at)
        assert await matured() == 100 + 4 + 64, key
    with pytest.raises(IncomeNotMatured):
        await fixture.request(169)
    assert (await fixture.request(168)).income == 168


# ---- decisions


async def test_a_large_withdrawal_needs_two_present_operators(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, second_person_fen=500)
    withdrawal = await fixture.request()
    assert (await fixture.service.approve(withdrawal.id, "finn")).state == "requested"
    with pytest.raises(SecondPersonRequired):
        await fixture.service.approve(withdrawal.id, "finn")
    fixture.process.left.add("finn")
    second = await fixture.service.approve(withdrawal.id, "olga")
    assert (second.state, second.approvals) == ("requested", ("olga",))
    assert (await fixture.service.approve(withdrawal.id, "mona")).state == "approved"
    again = await fixture.service.approve(withdrawal.id, "olga")
    assert again.approvals == ("olga", "mona")
    with pytest.raises(AlreadyDecided):
        await fixture.service.approve(withdrawal.id, "pavel")


async def test_a_declined_withdrawal_is_returned_with_its_reason(
    payouts: WithdrawalFixture,
) -> None:
    """A submitted one is cancelled at WeChat Pay."""
    withdrawal = await payouts.submitted()
    for _ in range(2):
        declined = await payouts.service.decline(withdrawal.id, "finn", "no host")
        assert (declined.state, declined.reason) == ("returned", "no host")
    assert payouts.bank.cancelled == [withdrawal.id]
    with pytest.raises(AlreadyDecided):
        await payouts.service.decline(withdrawal.id, "olga", "no host")
    with pytest.raises(AlreadyDecided):
        await payouts.service.approve(withdrawal.id, "olga")
    await payouts.check()
    for decide in (payouts.service.approve, payouts.service.cancel):
        with pytest.raises(WithdrawalNotFound):
            await decide("W0", "finn")


# ---- cancel


@pytest.mark.parametrize("confirmed", [False, True])
async def test_a_submitted_withdrawal_is_cancelled_at_wechat_pay_unless_it_was_confirmed(
    payouts: WithdrawalFixture, confirmed: bool
) -> None:
    withdrawal = await payouts.submitted()
    if confirmed:
        payouts.bank.finish(withdrawal.id, TransferState.SUCCESS)
    cancelled = await payouts.service.cancel(payouts.user.user_id, withdrawal.id)
    assert cancelled.state == ("paid" if confirmed else "returned")
    assert payouts.bank.cancelled == [withdrawal.id] * (not confirmed)
    await payouts.check()


# ---- refund cases


async def test_a_refund_case_stops_withdrawals_until_it_resumes_them(stores: StoresFixture) -> None:
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


# ---- what is shown


async def test_a_user_sees_the_newest_withdrawals_first(payouts: WithdrawalFixture) -> None:
    ids = [(await payouts.request(100, f"r{n}")).id for n in range(3)]
    for number, shown, has_more in ((1, ids[:0:-1], True), (2, ids[:1], False)):
        matured, found, more = await payouts.service.page(payouts.user.user_id, number, 2)
        assert [withdrawal.id for withdrawal in found] == shown
        assert (more, matured) == (has_more, 700)


async def test_the_age_of_a_withdrawal_is_the_time_in_its_state(stores: StoresFixture) -> None:
    """As /metrics shows it; an approval that does not suffice is no new state."""
    fixture = await WithdrawalFixture.create(stores, second_person_fen=500)
    withdrawal = await fixture.request()
    rows = fixture.database.collection("withdrawals")

    async def hours() -> dict[str, int]:
        oldest, now = (await stores.withdrawals.open_counts()).oldest, datetime.now(UTC)
        return {state: (now - at) // timedelta(hours=1) for state, at in oldest.items()}

    requested_at = datetime.now(UTC) - timedelta(hours=72)
    await rows.update_many({}, {"$set": {"requested_at": requested_at}})
    await fixture.service.approve(withdrawal.id, "finn")
    assert await hours() == {"requested": 72}
    await fixture.service.approve(withdrawal.id, "olga")
    assert await hours() == {"approved": 0}
    await rows.update_many({}, {"$set": {"state_since": requested_at}})
    assert await hours() == {"approved": 72}
