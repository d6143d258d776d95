"""Withdrawals over the API, paid by the simulator."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.income import (
    NO_MATURITY,
    confirm,
    income_of,
    next_transfer_fails,
    payee,
    transfers_at_bank,
    withdraw,
    withdrawals_of,
)
from tests.support.payments import notification_statuses

gen_test = pytest.mark.gen_test(timeout=30)
SMALL = {"max_fen": 1_000, "user_day_fen": 1_500, "day_fen": 2_000}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "auto_fen": 1_000}}


@gen_test
async def test_a_withdrawal_is_answered_with_the_package_and_repeated_the_same(
    api: ApiFixture,
) -> None:
    host = await payee(api)
    answers = await asyncio.gather(*(withdraw(host, 100) for _ in range(5)))
    first = answers[0]
    assert all(answer == first for answer in answers)
    assert (first["status"], first["state"], first["income"], first["fen"]) == (
        *("success", "awaiting_user", 100, 1_000),
    )
    assert first["package_info"]
    assert first["mch_id"]
    assert first["app_id"].startswith("wx")
    assert await income_of(host) == 900
    (item,) = await withdrawals_of(host)
    assert item == {name: first[name] for name in item}


@gen_test
async def test_what_makes_no_whole_fen_stays_income(api: ApiFixture) -> None:
    host = await payee(api)
    configs = (await api.ops("GET", "configs")).ok()["items"]
    rate = next(row for row in configs if row["key"] == "WITHDRAW_RATE")
    (await api.ops("PATCH", f"configs/{rate['id']}", value=0.003)).ok()
    answer = await withdraw(host, 999)
    assert (answer["income"], answer["fen"]) == (997, 299)
    assert await income_of(host) == 3


@gen_test
async def test_a_withdrawal_beyond_what_is_there_or_allowed_is_refused(api: ApiFixture) -> None:
    host = await payee(api)
    refusals = {"too_little": 9, "income_not_matured": 1_001, "over_limit": 2_001}
    for code, income in refusals.items():
        reply = await host.post("qlive_pay/withdraw/", request_id=code, income=income)
        assert reply.refusal == (409, code)
    assert reply.json["detail"].endswith(": transfer.")
    await withdraw(host, 100)
    reply = await host.post("qlive_pay/withdraw/", income=101, request_id="r1")
    assert reply.refusal == (409, "request_id_reused")
    reply = await host.post("qlive_pay/withdraw/", income=0, request_id="r2")
    assert reply.refusal == (400, "bad_parameter")
    reply = await host.post("qlive_pay/withdraw/", income=100)
    assert reply.json["fields"].keys() == {"request_id"}
    anna = await api.user("anna", 2)
    reply = await anna.post("qlive_pay/withdraw/", income=100, request_id="r1")
    assert reply.refusal == (409, "income_not_matured")
    assert reply.json["detail"]


@pytest.mark.parametrize("changes", [{}])
@gen_test
async def test_income_can_be_withdrawn_a_week_after_its_gift(api: ApiFixture, db: Any) -> None:
    host, now = await payee(api), datetime.now(UTC)
    for days in (0, 6):
        db.ledger.update_many({"kind": "gift"}, {"$set": {"at": now - timedelta(days=days)}})
        reply = await host.post("qlive_pay/withdraw/", income=100, request_id="r1")
        assert reply.refusal == (409, "income_not_matured")
    db.ledger.update_many({"kind": "gift"}, {"$set": {"at": now - timedelta(days=8)}})
    assert (await withdraw(host, 100))["state"] == "requested"


@pytest.mark.parametrize("changes", [{"withdraw": {**NO_MATURITY, **SMALL}}])
@gen_test
async def test_limits_of_a_withdrawal_a_user_and_the_house_are_those_of_the_settings(
    api: ApiFixture,
) -> None:
    anna, bert = await payee(api, name="anna"), await payee(api, name="bert")
    await withdraw(anna, 60)
    await withdraw(anna, 90, "r2")
    await withdraw(bert, 50)
    for user, income, limit in ((anna, 101, "transfer"), (anna, 10, "user_day"), (bert, 10, "day")):
        reply = await user.post("qlive_pay/withdraw/", income=income, request_id="r3")
        assert reply.refusal == (409, "over_limit")
        assert reply.json["detail"].endswith(f": {limit}.")


@gen_test
async def test_an_unapproved_withdrawal_is_cancelled_by_its_user_alone(api: ApiFixture) -> None:
    host, anna = await payee(api), await api.user("anna", 2)
    requested = await withdraw(host, 500)
    assert (requested["state"], requested["package_info"]) == ("requested", "")
    cancel = {"withdrawal_id": requested["withdrawal_id"]}
    reply = await anna.post("qlive_pay/withdraw/cancel/", **cancel)
    assert reply.refusal == (404, "no_such_withdrawal")
    cancelled = (await host.post("qlive_pay/withdraw/cancel/", **cancel)).ok()
    assert (cancelled["state"], cancelled["reason"]) == ("returned", "cancelled")
    assert await income_of(host) == 1_000
    reply = await host.post("qlive_pay/withdraw/cancel/", **cancel)
    assert reply.refusal == (409, "not_cancellable")
    reply = await host.post("qlive_pay/withdraw/cancel/", withdrawal_id="W1")
    assert reply.refusal == (400, "bad_parameter")


@gen_test
async def test_withdrawals_are_paged(api: ApiFixture) -> None:
    host = await payee(api)
    for n in range(9):
        await withdraw(host, 10, f"r{n}")
    pages = [(await host.get("qlive_pay/withdrawals/", page=n)).ok() for n in (1, 2, 3)]
    assert [(len(page["items"]), page["has_more"]) for page in pages] == [
        *((8, True), (1, False), (0, False)),
    ]
    assert {page["matured"] for page in pages} == {910}


@gen_test
async def test_the_bank_and_the_journal_agree_after_a_payment(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    withdrawal = await withdraw(host, 100)
    await confirm(api, withdrawal["package_info"])
    assert await notification_statuses(server) == [204]
    (item,) = await withdrawals_of(host)
    assert (item["state"], item["paid_fen"], item["package_info"]) == ("paid", 1_000, "")
    payout = db.ledger.find_one({"kind": "payout"})
    assert payout["content"]["wechat_number"]
    (message,) = (await api.ops("GET", "inbox?source=transfer")).ok()["items"]
    assert (message["outcome"], message["genuine"]) == ("done", True)
    again = (await api.ops("POST", "inbox/again", id=message["id"])).ok()
    assert again == {"outcome": "done", "reason": ""}
    assert db.ledger.count_documents({"kind": "payout"}) == 1
    assert await server.context.stores.ledger_reconciler.problems() == []


@gen_test
async def test_a_submitted_withdrawal_is_cancelled_at_wechat_pay(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await payee(api)
    withdrawal = await withdraw(host, 100)
    cancel = {"withdrawal_id": withdrawal["withdrawal_id"]}
    cancelling = (await host.post("qlive_pay/withdraw/cancel/", **cancel)).ok()
    assert cancelling["state"] == "awaiting_user", "WeChat Pay says CANCELING"
    await notification_statuses(server)
    (item,) = await withdrawals_of(host)
    assert (item["state"], item["fail_reason"]) == ("returned", "MCH_CANCEL")
    assert await income_of(host) == 1_000
    outcome = await confirm(api, withdrawal["package_info"])
    assert outcome["outcome"] == "failed"


@gen_test
async def test_a_transfer_that_the_user_cannot_take_goes_back(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await payee(api)
    withdrawal = await withdraw(host, 100)
    await confirm(api, withdrawal["package_info"], outcome="failed")
    await notification_statuses(server)
    (item,) = await withdrawals_of(host)
    assert (item["state"], item["fail_reason"]) == ("returned", "NAME_NOT_CORRECT")
    assert await income_of(host) == 1_000


@gen_test
async def test_an_unclear_answer_is_resolved_by_a_query(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    await next_transfer_fails(api, "lost")
    withdrawal = await withdraw(host, 100)
    assert (withdrawal["state"], withdrawal["package_info"]) == ("submitted", "")
    (bill,) = await transfers_at_bank(api)
    assert bill["state"] == "WAIT_USER_CONFIRM"
    sweep = server.context.services.open_transfers
    db.withdrawals.update_one({}, [{"$set": {"due_at": "$requested_at"}}])
    await sweep.sweep()
    (item,) = await withdrawals_of(host)
    assert item["state"] == "awaiting_user"
    assert len(await transfers_at_bank(api)) == 1


@gen_test
async def test_a_real_name_is_checked_and_sent_encrypted(api: ApiFixture, db: Any) -> None:
    host = await payee(api)
    for name in ("张\n三", "三" * 51):
        reply = await host.post("qlive_pay/withdraw/", income=100, request_id="r1", real_name=name)
        assert reply.refusal == (400, "bad_parameter")
    answer = await withdraw(host, 100, real_name=" 张三 ")
    assert answer["state"] == "awaiting_user"
    stored = db.withdrawals.find_one()["body"]
    assert '"user_name"' in stored
    assert "张三" not in stored
    assert db.users.find_one({"_id": host.id})["real_name"]
