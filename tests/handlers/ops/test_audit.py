"""The audit log of operator calls."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from handlers.operator_routes import OPS_ROUTES
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.operators import GRANT, operator_request


async def audit_entries(api: ApiFixture) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.ops("GET", "audit")).ok()["items"]
    return items


@pytest.mark.gen_test(timeout=20)
async def test_audit_records_operator_action_target_reason_and_time(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    (await api.ops("POST", f"users/{anna.id}/grant", **GRANT)).ok()
    (await api.ops("PATCH", f"users/{anna.id}", banned=True, ban_reason="rude")).ok()
    refused = await api.ops("POST", f"users/{anna.id}/grant", **GRANT | {"gold": 0})
    assert refused.status == 400
    failed, ban, grant = await audit_entries(api)
    for entry in (grant, ban):
        assert (entry["who"], entry["role"], entry["address"]) == ("demo", "admin", "127.0.0.1")
    assert (grant["what"], grant["on"], grant["reason"]) == (
        "POST GrantGold",
        anna.id,
        "birthday",
    )
    assert grant["parameters"] == {"gold": 10, "request_id": "one"}
    assert (ban["what"], ban["reason"]) == ("PATCH OneUser", "rude")
    assert [entry["done"] for entry in (grant, ban, failed)] == [True, True, False]
    age = datetime.now(UTC) - datetime.fromisoformat(grant["at"])
    assert timedelta(0) <= age < timedelta(seconds=20)


@pytest.mark.gen_test(timeout=20)
async def test_every_change_is_audited_and_every_read_is_counted(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    audited, reads = [], []
    for pattern, handler, name, *_ in OPS_ROUTES:
        if name.startswith("ops.login."):  # would log the test out
            continue
        path = re.sub(r"\(.*?\)", "12345678", pattern)
        for method in ("GET", "POST", "PATCH", "DELETE"):
            if method.lower() in vars(handler):
                assert (await api.ops(method, path)).status in (200, 400, 404)
                what = f"{method} {name.rpartition('.')[2]}"
                if method == "GET":
                    reads.append(what)
                if method != "GET" or getattr(handler, "audits_reads", False):
                    audited.append(what)
    assert [entry["what"] for entry in db.audit.find().sort("_id", 1)] == audited
    text = server.context.metrics.text().decode()
    counted = re.findall(r'^qlive_operator_reads_total\{route="(\w+)"\} 1\.0$', text, re.MULTILINE)
    assert sorted(f"GET {route}" for route in counted) == sorted(reads)
    assert {*audited} - {*reads}
    assert reads


@pytest.mark.gen_test(timeout=20)
async def test_audit_records_the_client_address_behind_a_trusted_proxy(api: ApiFixture) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.1"}
    login = {"name": "anna", "password": "wrong"}
    await api.request("POST", "/ops/api/login", headers=forwarded, json=login)
    assert (await audit_entries(api))[0]["address"] == "198.51.100.7"


@pytest.mark.gen_test(timeout=20)
async def test_audit_is_paged_with_a_cursor(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.operators.audit.PAGE_SIZE", 3)
    for _ in range(5):
        await api.ops("POST", "gifts")
    first = (await operator_request(api, "GET", "audit")).ok()
    second = (await operator_request(api, "GET", "audit", params={"after": first["next"]})).ok()
    ids = [entry["id"] for entry in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True)
    assert (len(first["items"]), second["next"]) == (3, None)
    assert len(ids) == 5
