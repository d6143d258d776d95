"""Withdrawals over HTTP, paid by the simulator; tests/services/payouts shows their states."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.income import (
    NO_MATURITY,
    confirm,
    income_of,
    payee,
    withdraw,
    withdrawals_of,
)
from tests.support.payments import notification_statuses


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "auto_fen": 1_000}}


async def test_a_withdrawal_is_paid_once_the_user_has_confirmed_its_package(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    first = await withdraw(host, 100)
    assert await withdraw(host, 100) == first
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


async def test_a_real_name_with_invisible_characters_is_refused(api: ApiFixture, db: Any) -> None:
    host = await payee(api)
    for name in ("\u200b", "\u200d\ufe0f", "\u3164 \u2060", "李\u200b明"):
        reply = await host.post("qlive_pay/withdraw/", income=100, request_id="r1", real_name=name)
        assert reply.refusal == (400, "bad_parameter"), name
    assert "real_name" not in db.users.find_one({"_id": host.id})
