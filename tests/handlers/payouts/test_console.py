"""Operators' endpoints for withdrawals."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import day_of
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.income import NO_MATURITY, confirm, payee, withdraw, withdrawals_of
from tests.support.payments import notification_statuses


@pytest.fixture
def paused_jobs() -> tuple[str, ...]:
    return ("open_transfers",)


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "second_person_fen": 5_000}}


async def decide(api: ApiFixture, id_: str, decision: str) -> None:
    (await api.ops("POST", f"withdrawals/{id_}/{decision}", reason="checked")).ok()


async def test_sums_of_days_and_the_report_of_a_quarter_count_what_happened_in_them(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host, other = await payee(api), await payee(api, 4, "=1+1")
    first = (await withdraw(host, 100, "r1", real_name="张三"))["withdrawal_id"]
    second, third = [(await withdraw(host, n, f"{n}"))["withdrawal_id"] for n in (50, 30)]
    await decide(api, first, "approve")
    db.withdrawals.update_one({"_id": first}, [{"$set": {"due_at": "$requested_at"}}])
    await server.context.services.payouts.transfers.job.sweep()
    await decide(api, second, "decline")
    entry, *_ = (await api.ops("GET", f"audit?q={host.id}")).ok()["items"]
    assert (entry["before"]["state"], entry["after"]["state"]) == ("requested", "returned")
    package = next(filter(None, [item["package_info"] for item in await withdrawals_of(host)]))
    await confirm(api, package)
    await notification_statuses(server)
    old = datetime.now(UTC) - timedelta(days=40)
    db.withdrawals.update_one({"_id": third}, {"$set": {"requested_at": old}})
    gift = db.ledger.find_one({"kind": "gift", "content.to": other.id})["_id"]
    (await api.ops("POST", "ledger/reverse", entry=gift, reason="a minor")).ok()
    await check_days(api, old)
    rows = await report(api)
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


async def check_days(api: ApiFixture, old: datetime) -> None:
    """The sums of today, and of the `old` day on the next page."""
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


async def report(api: ApiFixture) -> dict[str, dict[str, str]]:
    """The report of this quarter by user; downloads are audited."""
    now = datetime.now(UTC)
    quarter = f"{day_of(now).year}Q{(day_of(now).month + 2) // 3}"
    reply = await api.ops("GET", f"withdrawals/report.csv?quarter={quarter}")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert quarter in reply.headers["Content-Disposition"]
    entry, *_ = (await api.ops("GET", "audit")).ok()["items"]
    assert (entry["who"], entry["what"]) == ("demo", "GET WithdrawalReport")
    assert entry["parameters"] == {"quarter": quarter}
    wrong = await api.ops("GET", "withdrawals/report.csv?quarter=2020Q5")
    assert wrong.refusal == (400, "bad_parameter")
    return {row["user_id"]: row for row in csv.DictReader(io.StringIO(reply.text[1:]))}
