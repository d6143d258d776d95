import re
from typing import Any

import pytest
from pymongo.database import Database
from structlog.testing import capture_logs

from ledger.gifts import RATE_KEYS
from runtime import jobs
from runtime.process import ServerProcess
from services.rooms.presence import Lease
from tests.support.api import ApiFixture
from tests.support.paths import ROOT

MongoDatabase = Database[dict[str, Any]]


async def test_readyz_lists_every_dependency_with_state_and_latency(http_api: ApiFixture) -> None:
    async def ready() -> Any:
        return (await http_api.request("GET", "/readyz")).ok()

    first = await ready()
    assert first["status"] == "ok"
    assert first["dependencies"].keys() == {"mongodb", "wechat", "im", "pay", "xpay", "rates"}
    assert first["dependencies"]["mongodb"]["state"] == "ok"
    assert first["dependencies"]["mongodb"]["latency_ms"] > 0
    wechat = first["dependencies"]["wechat"]
    assert (wechat["state"], wechat["latency_ms"]) == ("unknown", None)
    assert wechat["since"]
    anna = await http_api.user("anna", 2)
    wechat = (await ready())["dependencies"]["wechat"]
    assert wechat["state"] == "ok"
    assert wechat["latency_ms"] > 0
    await http_api.outage("pay", status=500)
    assert (await anna.post("qlive_pay/", block_id=1)).status == 503
    degraded = await ready()
    assert (degraded["status"], degraded["dependencies"]["pay"]["state"]) == ("degraded", "down")
    await http_api.outage("pay")
    (await anna.post("qlive_pay/", block_id=1)).ok()
    assert (await ready())["status"] == "ok"


async def test_a_missing_rate_is_down_on_readyz_and_in_the_console(
    api: ApiFixture, server: ServerProcess, db: MongoDatabase
) -> None:
    for key in RATE_KEYS:
        db.configs.delete_many({"key": key})
        server.context.services.gold.catalogue.invalidate()
        ready, overview = await api.request("GET", "/readyz"), await api.ops("GET", "overview")
        for page in (ready.ok(), overview.ok()):
            state = page["dependencies"]["rates"]["state"]
            assert (page["status"], state) == ("degraded", "down"), key
        (await api.ops("POST", "configs", key=key, value=0.5)).ok()
        assert (await api.request("GET", "/readyz")).ok()["status"] == "ok", key


async def test_draining_server_is_alive_but_not_ready(
    api: ApiFixture, server: ServerProcess
) -> None:
    server.context.lifecycle.draining = True
    reply = await api.request("GET", "/readyz")
    assert (reply.status, reply.json["status"]) == (503, "draining")
    assert int(reply.headers["Retry-After"]) > 0
    assert (await api.request("GET", "/healthz")).ok() == {"status": "ok"}


async def test_metrics_count_requests_by_route_method_and_status(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for _ in range(3):
        (await anna.get("get_configs/")).ok()
    assert (await api.request("GET", "/wx/api/qlive/get_configs/")).status == 401
    for number in range(2):
        await api.request("GET", f"/made/up/{number}")
    metrics = await api.metrics()
    name = 'qlive_requests_total{method="GET",route="%s",status="%s"}'
    assert metrics[name % ("GetConfigs", 200)] == 3
    assert metrics[name % ("GetConfigs", 401)] == 1
    assert metrics[name % ("Missing", 404)] == 2, "one label for all unknown paths"
    assert metrics['qlive_request_seconds_count{route="GetConfigs"}'] == 4
    assert metrics['qlive_mongo_seconds_count{command="find",outcome="ok"}'] > 0
    assert metrics["qlive_requests_in_progress"] == 1  # the one that reads them
    assert (await api.request("BREW", "/coffee")).status == 405
    assert 'method="other"' in (await api.request("GET", "/metrics")).text


async def test_the_operations_page_lists_every_metric(http_api: ApiFixture) -> None:
    text = (await http_api.request("GET", "/metrics")).text
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`qlive_\w+`(?:, `qlive_\w+`)*) \| (\w+) \|", table, re.MULTILINE)
    listed = {(name, kind) for row, kind in rows for name in re.findall(r"\w+", row)}
    exported = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    assert listed == {(name, kind) for name, kind in exported if not name.endswith("_created")}


async def test_several_processes_without_redis_are_degraded_and_the_log_says_why_once(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server.context
    presence = context.stores.presence
    await presence.renew("other", 60)

    async def redis_state() -> str | None:
        await jobs.look_for_others(context)
        ready = (await api.request("GET", "/readyz")).ok()
        state: str | None = ready["dependencies"].get("redis", {}).get("state")
        assert ready["status"] == ("degraded" if state else "ok")
        return state

    with capture_logs() as lines:
        assert await redis_state() is None, "the other process may have ended before this start"
        monkeypatch.setattr(Lease, "held_for_full_term", True)
        assert await redis_state() == "down"
        assert await redis_state() == "down"
        await presence.forget("other")
        assert await redis_state() is None
    logged = [line for line in lines if line["event"] == "redis_not_configured"]
    assert [line["other_processes"] for line in logged] == [1]
