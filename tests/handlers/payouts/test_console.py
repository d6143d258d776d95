"""Operators' endpoints for withdrawals."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import day_of
from runtime import jobs
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.income import NO_MATURITY, confirm, income_of, payee, withdraw, withdrawals_of
from tests.support.operators import operator_as, operator_request
from tests.support.payments import notification_statuses


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "second_person_fen": 5_000}}


async def decide(api: ApiFixture, id_: str, decision: str, reason: str = "checked") -> Any:
    return await api.ops("POST", f"withdrawals/{id_}/{decision}", reason=reason)


async def swept(server: ServerProcess, db: Any) -> None:
    due = {"$set": {"due_at": "$requested_at"}}
    db.withdrawals.update_many({"due_at": {"$ne": None}}, [due])
    await server.context.services.open_transfers.sweep()


async def test_a_large_withdrawal_is_approved_by_two_operators_and_paid(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    id_ = (await withdraw(host, 501))["withdrawal_id"]
    (waiting,) = (await api.ops("GET", "withdrawals?state=requested")).ok()["items"]
    assert (waiting["id"], waiting["user_id"], waiting["fen"]) == (id_, host.id, 5_010)
    assert (await decide(api, id_, "approve")).ok()["state"] == "requested"
    assert (await decide(api, id_, "approve")).refusal == (403, "second_person")
    finn = await operator_as(server, "finn", "finance")
    path, body = f"/ops/api/withdrawals/{id_}/approve", {"reason": "checked"}
    approved = (await api.request("POST", path, json=body, headers=finn)).ok()
    assert (approved["state"], len(approved["approvals"])) == ("approved", 2)
    first, *_ = (await api.ops("GET", f"audit?q={id_}")).ok()["items"]
    assert (first["who"], first["reason"]) == ("finn", "checked")
    assert (first["before"]["state"], first["after"]["state"]) == ("requested", "approved")
    assert (await api.ops("GET", f"audit?q={host.id}")).ok()["items"]
    await swept(server, db)
    (item,) = await withdrawals_of(host)
    await confirm(api, item["package_info"])
    await notification_statuses(server)
    (paid,) = (await api.ops("GET", f"withdrawals?state=paid&user_id={host.id}")).ok()["items"]
    assert (paid["paid_fen"], paid["problem"]) == (5_010, "")
    assert paid["wechat_number"]
    assert (await api.ops("GET", "withdrawals?state=requested")).ok()["items"] == []
    assert (await decide(api, id_, "decline")).refusal == (409, "decided")


async def test_a_declined_withdrawal_shows_its_user_the_reason(api: ApiFixture) -> None:
    host = await payee(api)
    id_ = (await withdraw(host))["withdrawal_id"]
    declined = (await decide(api, id_, "decline", "not a host")).ok()
    assert (declined["state"], declined["decided_by"]) == ("returned", "demo")
    (item,) = await withdrawals_of(host)
    assert (item["state"], item["reason"]) == ("returned", "not a host")
    assert await income_of(host) == 1_000
    for number, reason, refusal in (
        (id_, "checked", (409, "decided")),
        ("W1", "checked", (404, "no_such_withdrawal")),
        (id_, "", (400, "bad_parameter")),
    ):
        assert (await decide(api, number, "approve", reason)).refusal == refusal


async def test_sums_of_a_day_count_what_happened_on_it(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host = await payee(api)
    ids = [(await withdraw(host, n, f"r{n}"))["withdrawal_id"] for n in (100, 50, 30)]
    (await decide(api, ids[0], "approve")).ok()
    (await decide(api, ids[1], "decline")).ok()
    await swept(server, db)
    package = next(filter(None, [item["package_info"] for item in await withdrawals_of(host)]))
    await confirm(api, package)
    await notification_statuses(server)
    old = datetime.now(UTC) - timedelta(days=40)
    db.withdrawals.update_one({"_id": ids[2]}, {"$set": {"requested_at": old}})
    page = (await api.ops("GET", "withdrawals/days")).ok()
    (today,) = page["items"]
    assert today == {
        "day": day_of(datetime.now(UTC)).isoformat(),
        "requested_fen": 1_500,
        "requested": 2,
        "paid_fen": 1_000,
        "paid": 1,
        "returned_fen": 500,
        "returned": 1,
    }
    older = (await api.ops("GET", f"withdrawals/days?after={page['next']}")).ok()
    (day,) = older["items"]
    assert (day["day"], day["requested_fen"]) == (day_of(old).isoformat(), 300)
    assert older["next"] is None
    for wrong in ("2026-13-01", "yesterday", "0001-01-01"):
        reply = await api.ops("GET", f"withdrawals/days?after={wrong}")
        assert reply.refusal == (400, "bad_parameter"), wrong


async def test_report_of_a_quarter_has_the_income_and_payouts_of_each_host(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host, other = await payee(api), await payee(api, 4, "=1+1")
    id_ = (await withdraw(host, real_name="张三"))["withdrawal_id"]
    (await decide(api, id_, "approve")).ok()
    await swept(server, db)
    await confirm(api, (await withdrawals_of(host))[0]["package_info"])
    await notification_statuses(server)
    gift = db.ledger.find_one({"kind": "gift", "content.to": other.id})["_id"]
    (await api.ops("POST", "ledger/reverse", entry=gift, reason="a minor")).ok()
    now = datetime.now(UTC)
    quarter = f"{day_of(now).year}Q{(day_of(now).month + 2) // 3}"
    reply = await operator_request(api, "GET", f"withdrawals/report.csv?quarter={quarter}")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert quarter in reply.headers["Content-Disposition"]
    rows = {row["user_id"]: row for row in csv.DictReader(io.StringIO(reply.text[1:]))}
    assert rows[host.id] == {
        "user_id": host.id,
        "nickname": "红娘",
        "real_name": "张三",
        "gross_income": "1000",
        "reversed_income": "0",
        "withdrawn_income": "100",
        "paid_fen": "1000",
    }
    assert (rows[other.id]["gross_income"], rows[other.id]["reversed_income"]) == ("10", "10")
    assert rows[other.id]["nickname"] == "'=1+1"
    entry, *_ = (await api.ops("GET", "audit")).ok()["items"]
    assert (entry["who"], entry["what"]) == ("demo", "GET WithdrawalReport")
    assert entry["parameters"] == {"quarter": quarter}
    reply = await operator_request(api, "GET", "withdrawals/report.csv?quarter=2020Q1")
    assert len(reply.text.splitlines()) == 1
    reply = await operator_request(api, "GET", "withdrawals/report.csv?quarter=2020Q5")
    assert reply.refusal == (400, "bad_parameter")


async def test_open_withdrawals_are_on_the_metrics_page(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await payee(api)
    await withdraw(host)
    await jobs._measure_figures(server.context)
    await server.context.services.ledger_audit.check()
    text = (await api.request("GET", "/metrics")).text
    assert 'qlive_withdrawals_open{state="requested"} 1.0' in text
    assert 'qlive_oldest_withdrawal_seconds{state="requested"}' in text
    assert "qlive_income_held 100.0" in text
