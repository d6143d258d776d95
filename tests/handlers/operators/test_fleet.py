"""The operators' view of the fleet."""

import os
from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from core.version import build
from runtime.figures import reporter
from runtime.process import ServerProcess
from tests.support.api import ApiFixture

MACHINE_TOKEN = "machine"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"server": {"machine": "qlive-a"}, "ops": {"token": MACHINE_TOKEN}}


async def fleet(api: ApiFixture, server: ServerProcess) -> Any:
    """The answer after another report."""
    await reporter(server.context, server.address)()
    return (await api.ops("GET", "fleet")).ok()


async def test_processes_of_all_machines_are_shown_with_their_readings(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    host = await api.host()
    await (await host.connect()).next("snapshot")
    own = db.process_reports.find_one({"process": server.context.process_id})
    assert own
    hour_ago = own["at"] - timedelta(seconds=3000)
    db.processes.insert_one({"_id": "gone", "expires_at": hour_ago, "renewed_at": hour_ago})
    later = {"machine": "qlive-b", "readings": own["readings"] | {"later": 1}, "also": True}
    db.process_reports.insert_one({**own, "_id": "gone", "process": "gone", **later})
    server.context.metrics.loop_lag = 0.25
    server.context.lifecycle.draining = True
    found = await fleet(api, server)
    assert (found["versions"], found["missing"]) == ([build()], 1)
    assert [machine["machine"] for machine in found["machines"]] == ["qlive-a", "qlive-b"]
    [process], [gone] = (machine["processes"] for machine in found["machines"])
    assert (process["id"], process["state"]) == (server.context.process_id, "draining")
    assert (process["pid"], process["address"]) == (os.getpid(), server.address)
    assert process["version"] == build()
    assert 0 <= process["lease_age_seconds"] < 60
    readings = process["readings"]
    assert (readings["sockets"], readings["rooms"], readings["loop_lag_ms"]) == (1, 1, 250)
    assert (gone["id"], gone["state"]) == ("gone", "missing")
    assert gone["lease_age_seconds"] >= 3000


async def test_charts_have_the_rates_of_what_was_done_between_two_reports(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    db.process_reports.delete_many({})
    metrics = server.context.metrics
    for status in (200, 404, 429, 500):
        metrics.count_request("A", "GET", status)
    metrics.observe_request("A", 60.0)
    metrics.observe_delivery(0.25)
    await reporter(server.context, server.address)()
    db.process_reports.update_many({}, [{"$set": {"at": {"$add": ["$at", -30_000]}}}])
    as_machine = {"Authorization": f"Bearer {MACHINE_TOKEN}"}
    [point] = (await api.request("GET", "/ops/api/charts", headers=as_machine)).ok()["points"]
    assert (point["processes"], point["sockets"]) == (1, 0)
    assert point["failed_rate"] > 0
    assert point["requests_rate"] >= 4 * point["failed_rate"]
    assert point["refused_rate"] == pytest.approx(2 * point["failed_rate"])
    assert (point["slowest_request_ms"], point["slowest_delivery_ms"]) == (60_000, 250)


async def test_queues_of_the_database_are_shown_once_for_all_processes(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    later = await server.context.database.now() + timedelta(hours=1)
    row = {"state": "urgent", "kind": "im_kick", "tries": 1, "payload": {}, "due_at": later}
    db.outbox.insert_one(row)
    queues = (await fleet(api, server))["queues"]
    assert (queues["outbox_urgent"], queues["outbox_normal"]) == (1, 0)
    assert 0 <= queues["outbox_oldest_seconds"] < 60
    assert (queues["relay_rooms"], queues["relay_oldest_seconds"]) == (0, 0)
