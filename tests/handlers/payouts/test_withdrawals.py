"""Withdrawals over HTTP, paid by the simulator; tests/services/payouts shows their states."""

import asyncio
from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import BASE, ApiFixture
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

WITHDRAW, CANCEL = "qlive_pay/withdraw/", "qlive_pay/withdraw/cancel/"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "auto_fen": 1_000}}


async def test_a_withdrawal_is_paid_once_the_user_has_confirmed_its_package(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    first, *others = await asyncio.gather(*(withdraw(host, 100) for _ in range(3)))
    assert others == [first] * 2
    assert (first["status"], first["state"]) == ("success", "awaiting_user")
    assert (first["income"], first["fen"]) == (100, 1_000)
    assert first["package_info"]
    assert first["mch_id"]
    assert first["app_id"].startswith("wx")
    assert await income_of(host) == 900
    (item,) = await withdrawals_of(host)
    assert item == {name: first[name] for name in item}
    await confirm(api, first["package_info"])
    assert await notification_statuses(server) == [204]
    (item,) = await withdrawals_of(host)
    assert (item["state"], item["paid_fen"], item["package_info"]) == ("paid", 1_000, "")
    assert db.ledger.find_one({"kind": "payout"})["content"]["wechat_number"]
    (message,) = (await api.ops("GET", "inbox?source=transfer")).ok()["items"]
    assert (message["outcome"], message["genuine"]) == ("done", True)
    again = (await api.ops("POST", "inbox/again", id=message["id"])).ok()
    assert again == {"outcome": "done", "reason": ""}
    assert db.ledger.count_documents({"kind": "payout"}) == 1
    assert await server.context.stores.ledger_reconciler.problems() == []


LIMITS = {"max_fen": 1_000, "user_day_fen": 1_500, "day_fen": 2_000}


@pytest.mark.parametrize("changes", [{"withdraw": {**NO_MATURITY, **LIMITS}}])
async def test_refused_withdrawals_say_why_and_name_the_limit(api: ApiFixture) -> None:
    anna, bert = await payee(api, name="anna"), await payee(api, 24, "bert")
    for income, code in ((9, "too_little"), (61, "income_not_matured")):
        reply = await bert.post(WITHDRAW, income=income, request_id=code)
        assert reply.refusal == (409, code)
    for field, invalid in (
        ("income", {"income": 0}),
        ("request_id", {"request_id": ""}),
        ("real_name", {"real_name": "张\n三"}),
        ("real_name", {"real_name": "三" * 51}),
    ):
        reply = await anna.post(WITHDRAW, **{"income": 100, "request_id": "r1", **invalid})
        assert reply.refusal == (400, "bad_parameter"), invalid
        assert reply.json["fields"].keys() == {field}
    await withdraw(anna, 60)
    reply = await anna.post(WITHDRAW, income=61, request_id="r1")
    assert reply.refusal == (409, "request_id_reused")
    await withdraw(anna, 90, "r2")
    await withdraw(bert, 50)
    for user, income, limit in ((anna, 101, "transfer"), (anna, 10, "user_day"), (bert, 10, "day")):
        reply = await user.post(WITHDRAW, income=income, request_id="r3")
        assert reply.refusal == (409, "over_limit")
        assert reply.json["detail"].endswith(f": {limit}.")


@pytest.mark.parametrize("changes", [{"withdraw": {"enabled": "off", "maturity_days": 0}}])
async def test_withdrawals_that_are_off_are_refused_and_listed(api: ApiFixture) -> None:
    host = await payee(api)
    reply = await host.post(WITHDRAW, income=100, request_id="r1")
    assert reply.refusal == (409, "withdraw_off")
    listed = (await host.get("qlive_pay/withdrawals/")).ok()
    assert (listed["matured"], listed["items"], listed["has_more"]) == (1_000, [], False)
    assert await income_of(host) == 1_000


async def test_withdrawals_are_cancelled_by_their_user_alone(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, anna = await payee(api), await api.user("anna", 2)
    requested = await withdraw(host, 500)
    assert (requested["state"], requested["package_info"]) == ("requested", "")
    cancel = {"withdrawal_id": requested["withdrawal_id"]}
    assert (await anna.post(CANCEL, **cancel)).refusal == (404, "no_such_withdrawal")
    cancelled = (await host.post(CANCEL, **cancel)).ok()
    assert (cancelled["state"], cancelled["reason"]) == ("returned", "cancelled")
    assert (await host.post(CANCEL, **cancel)).refusal == (409, "not_cancellable")
    assert (await host.post(CANCEL, withdrawal_id="W1")).refusal == (400, "bad_parameter")
    submitted = await withdraw(host, 100, "r2")
    cancelling = await host.post(CANCEL, withdrawal_id=submitted["withdrawal_id"])
    assert cancelling.ok()["state"] == "awaiting_user", "WeChat Pay answers CANCELING"
    await notification_statuses(server)
    item, _ = await withdrawals_of(host)
    assert (item["state"], item["fail_reason"]) == ("returned", "MCH_CANCEL")
    assert await income_of(host) == 1_000
    assert (await confirm(api, submitted["package_info"]))["outcome"] == "failed"


async def test_withdrawals_are_paged(api: ApiFixture) -> None:
    host = await payee(api)
    for n in range(9):
        await withdraw(host, 10, f"r{n}")
    pages = [(await host.get("qlive_pay/withdrawals/", page=n)).ok() for n in (1, 2, 3)]
    found = [(len(page["items"]), page["has_more"]) for page in pages]
    assert found == [(8, True), (1, False), (0, False)]
    assert {page["matured"] for page in pages} == {910}


async def test_a_real_name_is_sent_encrypted_and_a_lost_answer_found_by_a_query(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    await next_transfer_fails(api, "lost")
    withdrawal = await withdraw(host, 100, real_name=" 张三 ")
    assert (withdrawal["state"], withdrawal["package_info"]) == ("submitted", "")
    stored = db.withdrawals.find_one()["body"]
    assert '"user_name"' in stored
    assert "张三" not in stored
    assert db.users.find_one({"_id": host.id})["real_name"]
    (bill,) = await transfers_at_bank(api)
    assert bill["state"] == "WAIT_USER_CONFIRM"
    db.withdrawals.update_one({}, [{"$set": {"due_at": "$requested_at"}}])
    await server.context.services.open_transfers.sweep()
    (item,) = await withdrawals_of(host)
    assert item["state"] == "awaiting_user"
    assert len(await transfers_at_bank(api)) == 1


async def test_a_notification_without_a_signature_is_refused(api: ApiFixture, db: Any) -> None:
    reply = await api.request("POST", f"{BASE}qlive_pay/transfer_notify/", data=b"{}")
    assert reply.refusal == (403, "callback_refused")
    assert db.withdrawals.count_documents({}) == 0
