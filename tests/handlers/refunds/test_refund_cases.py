"""A refund case from recharge to WeChat's notice, with the simulated WeChat, Pay and bank."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.income import NO_MATURITY, confirm, transfers_at_bank, withdraw
from tests.support.operators import operator_as
from tests.support.payments import create_order, notification_statuses, pay_order
from tests.support.waiting import until

YES = {"reason": "seen the papers"}


@pytest.fixture
def provider() -> str:
    return "xpay"


@pytest.fixture
def changes(provider: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("refunds.REFUND_SECONDS", "transfers.CANCEL_SECONDS"):
        monkeypatch.setattr(f"devtools.simulator.{name}", 0)
    return {
        "pay": {"provider": provider},
        "withdraw": {**NO_MATURITY, "auto_fen": 1_000},
    }


class RefundChain:
    """anna has paid 60 gold and given 50 of it to a host, who has earned 25 income."""

    def __init__(self, api: ApiFixture, server: ServerProcess, db: Any) -> None:
        self.api = api
        self.server = server
        self.db = db
        self.anna: ApiClient
        self.host: ApiClient
        self.order = ""

    async def prepare(self) -> None:
        self.anna, self.host = await self.api.user("anna", 2), await self.api.user("bert", 1)
        self.order = (await pay_order(self.api, await create_order(self.anna)))["order"]
        await notification_statuses(self.server)
        (await give(self.anna, self.host.id, CANDY, 10)).ok()

    async def confirmed(self, **refunds: str) -> str:
        """The path of a confirmed case; `refunds`: how the simulator reports refunds."""
        (await self.api.request("POST", "/sim/refund/next", json=refunds)).ok()
        request = {"user_id": self.anna.id, "orders": [self.order], "request_id": "one"}
        case = (await self.api.ops("POST", "refunds", **request, reason="a minor")).ok()
        path = f"refunds/{case['id']}"
        (await self.api.ops("POST", f"{path}/confirm", **YES)).ok()
        return path

    async def closed(self, path: str) -> Any:
        """The case once it is closed, with every wait of the sweeps left out."""

        async def look() -> Any:
            for rows in (self.db.refund_cases, self.db.withdrawals):
                due = {"due_at": {"$type": "date"}}
                rows.update_many(due, [{"$set": {"due_at": "$$NOW"}}])
            await self.server.context.services.payouts.transfers.job.sweep()
            await self.server.context.services.refunds.job.sweep()
            case = (await self.api.ops("GET", path)).ok()
            return case if case["state"] == "closed" else None

        return await until(look)

    async def check(self, owed_income: int = 0) -> None:
        """The refund at WeChat is done, and nothing is left but a debt of the host."""
        [refund] = (await self.api.request("GET", "/sim/refund/list")).ok()["items"]
        assert (refund["order"], refund["fen"], refund["state"]) == (self.order, 600, "done")
        names = ("gold", "owed", "income", "owed_income")
        for user, amounts in ((self.anna, [0] * 4), (self.host, [0, 0, 0, owed_income])):
            row = self.db.users.find_one({"_id": user.id})
            assert [row.get(name, 0) for name in names] == amounts
        await notification_statuses(self.server)
        assert await self.server.context.services.gold.audit.check() == []
        reversals = self.db.ledger.count_documents({"kind": "reversal"})
        assert reversals == 2, "one for the order and one for the gift"


@pytest.fixture
def chain(io_loop: Any, api: ApiFixture, server: ServerProcess, db: Any) -> RefundChain:
    chain = RefundChain(api, server, db)
    io_loop.run_sync(chain.prepare)
    return chain


async def test_a_case_closes_by_the_notice_and_cancels_a_withdrawal(chain: RefundChain) -> None:
    await withdraw(chain.host, 25)
    case = await chain.closed(await chain.confirmed(report="twice"))
    assert case["orders"][0]["state"] == "refunded"
    assert case["orders"][0]["provider_refund"]
    [host] = case["hosts"]
    assert (host["held"], host["stopped"]) == (25, False)
    assert (case["gifts"][0]["taken"], case["gifts"][0]["owed"]) == (25, 0)
    [bill] = await transfers_at_bank(chain.api)
    assert bill["state"] == "CANCELLED"
    await chain.check()
    audited = [
        (row["what"], row["before"], row["after"])
        for row in (await chain.api.ops("GET", f"audit?q={chain.anna.id}")).ok()["items"]
        if "Refund" in row["what"]
    ]
    assert audited == [
        ("POST ConfirmRefund", {"state": "opened"}, {"state": "confirmed"}),
        ("POST Refunds", {}, {"refund": case["id"], "state": "opened"}),
    ]
    for role, is_shown in (("moderator", False), ("finance", True)):
        headers = await operator_as(chain.server, role, role)
        ledger = (await chain.api.request("GET", "/ops/api/ledger", headers=headers)).ok()["items"]
        assert ("reversal" in {entry["kind"] for entry in ledger}) is is_shown


@pytest.mark.parametrize("provider", ["jsapi"])
async def test_a_case_closes_by_a_query_and_income_that_was_paid_out_is_owed(
    chain: RefundChain,
) -> None:
    answer = await withdraw(chain.host, 25)
    await confirm(chain.api, answer["package_info"])
    await notification_statuses(chain.server)
    case = await chain.closed(await chain.confirmed(report="never"))
    assert (case["hosts"][0]["paid"], case["gifts"][0]["owed"]) == (25, 25)
    await chain.check(owed_income=25)
