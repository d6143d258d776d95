"""A refund case from recharge to WeChat's callback, with the simulated WeChat, Pay and bank."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.income import NO_MATURITY, transfers_at_bank, withdraw
from tests.support.operators import operator_as
from tests.support.payments import create_order, notification_statuses, pay_order
from tests.support.waiting import until


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return ("open_transfers", "refund_cases")


@pytest.fixture(params=["jsapi", "xpay"])
def changes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("refunds.REFUND_SECONDS", "transfers.CANCEL_SECONDS"):
        monkeypatch.setattr(f"devtools.simulator.{name}", 0)
    return {"pay": {"provider": request.param}, "withdraw": {**NO_MATURITY, "auto_fen": 1_000}}


async def closed_case(api: ApiFixture, server: ServerProcess, db: Any, path: str) -> Any:
    """The case once it is closed, with every wait of the sweeps left out."""

    async def look() -> Any:
        for rows in (db.refund_cases, db.withdrawals):
            rows.update_many({"due_at": {"$type": "date"}}, [{"$set": {"due_at": "$$NOW"}}])
        await server.context.services.payouts.transfers.job.sweep()
        await server.context.services.refunds.job.sweep()
        await notification_statuses(server)  # before the next sweep, whose query could be first
        case = (await api.ops("GET", path)).ok()
        return case if case["state"] == "closed" else None

    return await until(look)


async def test_a_case_closes_by_the_callback_and_cancels_a_withdrawal(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    """anna has paid 60 gold and given 50 of it to a host, who has earned 25 income."""
    anna, host = await api.user("anna", 2), await api.user("bert", 1)
    order = (await pay_order(api, await create_order(anna)))["order"]
    await notification_statuses(server)
    (await give(anna, host.id, CANDY, 10)).ok()
    await withdraw(host, 25)

    (await api.request("POST", "/sim/refund/next", json={"report": "twice"})).ok()
    request = {"user_id": anna.id, "orders": [order], "request_id": "one", "reason": "a minor"}
    opened = (await api.ops("POST", "refunds", **request)).ok()
    path = f"refunds/{opened['id']}"
    (await api.ops("POST", f"{path}/confirm", reason="seen the papers")).ok()
    case = await closed_case(api, server, db, path)
    assert case["orders"][0]["state"] == "refunded"
    assert case["orders"][0]["provider_refund"]
    assert (case["hosts"][0]["held"], case["hosts"][0]["stopped"]) == (25, False)
    assert (case["gifts"][0]["taken"], case["gifts"][0]["owed"]) == (25, 0)
    [bill] = await transfers_at_bank(api)
    assert bill["state"] == "CANCELLED"

    [refund] = (await api.request("GET", "/sim/refund/list")).ok()["items"]
    assert (refund["order"], refund["fen"], refund["state"]) == (order, 600, "done")
    for user in (anna, host):
        row = db.users.find_one({"_id": user.id})
        assert not any(row.get(name) for name in ("gold", "owed", "income", "owed_income"))
    await notification_statuses(server)
    assert await server.context.services.gold.audit.check() == []
    reversals = db.ledger.count_documents({"kind": "reversal"})
    assert reversals == 2, "one for the order and one for the gift"
    audited = [
        (row["what"], row["before"], row["after"])
        for row in (await api.ops("GET", f"audit?q={anna.id}")).ok()["items"]
        if "Refund" in row["what"]
    ]
    assert audited == [
        ("POST ConfirmRefund", {"state": "opened"}, {"state": "confirmed"}),
        ("POST Refunds", {}, {"refund": case["id"], "state": "opened"}),
    ]
    for role, is_shown in (("moderator", False), ("finance", True)):
        headers = await operator_as(server, role, role)
        ledger = (await api.request("GET", "/ops/api/ledger", headers=headers)).ok()["items"]
        assert ("reversal" in {entry["kind"] for entry in ledger}) is is_shown
