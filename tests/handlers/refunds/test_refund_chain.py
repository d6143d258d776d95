"""A refund case from recharge to WeChat's notice, with the simulated WeChat, Pay and bank."""

from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.income import NO_MATURITY, confirm, transfers_at_bank, withdraw
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
        """The path of a confirmed case; `refunds`: how the simulator ends and reports refunds."""
        if refunds:
            (await self.api.request("POST", "/sim/refund/next", json=refunds)).ok()
        request = {"user_id": self.anna.id, "orders": [self.order], "request_id": "one"}
        case = (await self.api.ops("POST", "refunds", **request, reason="a minor")).ok()
        path = f"refunds/{case['id']}"
        (await self.api.ops("POST", f"{path}/confirm", **YES)).ok()
        return path

    async def case_in(self, path: str, state: str) -> Any:
        """The case once it is in this state, with every wait of the sweeps left out."""

        async def look() -> Any:
            for rows in (self.db.refund_cases, self.db.withdrawals):
                due = {"due_at": {"$type": "date"}}
                rows.update_many(due, [{"$set": {"due_at": "$$NOW"}}])
            await self.server.context.services.open_transfers.sweep()
            await self.server.context.services.refund_sweep.sweep()
            case = (await self.api.ops("GET", path)).ok()
            return case if case["state"] == state else None

        return await until(look)

    def amounts(self) -> list[tuple[int, int, int, int]]:
        """(gold, owed gold, income, owed income) of anna and the host."""
        rows = [self.db.users.find_one({"_id": user.id}) for user in (self.anna, self.host)]
        names = ("gold", "owed", "income", "owed_income")
        return [tuple(row.get(name, 0) for name in names) for row in rows]  # type: ignore[misc]

    async def refunds_at_wechat(self) -> list[tuple[str, int, str]]:
        """(order, fen, state) of each."""
        shown = (await self.api.request("GET", "/sim/refund/list")).ok()["items"]
        return [(refund["order"], refund["fen"], refund["state"]) for refund in shown]

    async def check(self) -> None:
        await notification_statuses(self.server)
        assert await self.server.context.services.ledger_audit.check() == []
        reversals = self.db.ledger.count_documents({"kind": "reversal"})
        assert reversals == 2, "one for the order and one for the gift"


@pytest.fixture
def chain(io_loop: Any, api: ApiFixture, server: ServerProcess, db: Any) -> RefundChain:
    chain = RefundChain(api, server, db)
    io_loop.run_sync(chain.prepare)
    return chain


@pytest.mark.parametrize(("provider", "report"), [("xpay", "twice"), ("jsapi", "never")])
async def test_a_case_closes_by_the_notice_or_by_a_query(chain: RefundChain, report: str) -> None:
    case = await chain.case_in(await chain.confirmed(report=report), "closed")
    assert case["orders"][0]["state"] == "refunded"
    assert bool(case["orders"][0]["provider_refund"]) or report == "never"
    assert await chain.refunds_at_wechat() == [(chain.order, 600, "done")]
    assert chain.amounts() == [(0, 0, 0, 0), (0, 0, 0, 0)]
    await chain.check()


async def test_a_withdrawal_that_waits_for_its_user_is_cancelled(chain: RefundChain) -> None:
    await withdraw(chain.host, 25)
    assert chain.amounts()[1] == (0, 0, 0, 0)
    case = await chain.case_in(await chain.confirmed(), "closed")
    [host] = case["hosts"]
    assert (host["held"], host["stopped"]) == (25, False)
    assert (case["gifts"][0]["taken"], case["gifts"][0]["owed"]) == (25, 0)
    [bill] = await transfers_at_bank(chain.api)
    assert bill["state"] == "CANCELLED"
    assert chain.amounts() == [(0, 0, 0, 0), (0, 0, 0, 0)]
    await chain.check()


async def test_income_that_was_paid_out_is_owed(chain: RefundChain) -> None:
    answer = await withdraw(chain.host, 25)
    await confirm(chain.api, answer["package_info"])
    await notification_statuses(chain.server)
    case = await chain.case_in(await chain.confirmed(), "closed")
    assert (case["hosts"][0]["paid"], case["gifts"][0]["owed"]) == (25, 25)
    assert chain.amounts() == [(0, 0, 0, 0), (0, 0, 0, 25)]
    await chain.check()


async def test_a_refund_that_failed_waits_for_a_person(chain: RefundChain) -> None:
    path = await chain.confirmed(outcome="failed")

    async def failed() -> bool:
        [order] = (await chain.case_in(path, "refunding"))["orders"]
        return bool(order["problem"] == "refund_failed")

    await until(failed)
    assert await chain.refunds_at_wechat() == [(chain.order, 600, "failed")]
    await chain.check()
