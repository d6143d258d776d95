"""The operators' view of the fleet."""

import os
import socket
from typing import Any

import pytest
from pymongo.database import Database

from core.version import build
from runtime.process import ServerProcess
from runtime.process_metrics import status_writer
from tests.support.api import ApiFixture

MACHINE_TOKEN = "machine"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"ops": {"token": MACHINE_TOKEN}}


async def test_a_report_has_readings_and_the_rates_of_what_was_done_since_the_last_one(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    host = await api.host()
    await (await host.connect()).next("snapshot")
    db.process_statuses.delete_many({})
    server.context.metrics.loop_lag = 0.25
    server.context.lifecycle.draining = True
    metrics = server.context.metrics
    for status in (200, 404, 429, 500):
        metrics.count_request("A", "GET", status)
    metrics.observe_request("A", 60.0)
    metrics.observe_delivery(0.25)
    await status_writer(server.context, server.address)()
    db.process_statuses.update_many({}, [{"$set": {"at": {"$add": ["$at", -30_000]}}}])
    as_machine = {"Authorization": f"Bearer {MACHINE_TOKEN}"}
    [machine] = (await api.ops("GET", "fleet")).ok()["machines"]
    [process] = machine["processes"]
    assert (machine["machine"], process["version"]) == (socket.gethostname(), build())
    assert (process["id"], process["state"]) == (server.context.process_id, "draining")
    assert (process["pid"], process["address"]) == (os.getpid(), server.address)
    readings = process["readings"]
    assert (readings["sockets"], readings["rooms"], readings["loop_lag_ms"]) == (1, 1, 250)
    [point] = (await api.request("GET", "/ops/api/charts", headers=as_machine)).ok()["points"]
    assert (point["processes"], point["sockets"]) == (1, 1)
    assert point["failed_rate"] > 0
    assert point["requests_rate"] >= 4 * point["failed_rate"]
    assert point["refused_rate"] == pytest.approx(2 * point["failed_rate"])
    assert (point["slowest_request_ms"], point["slowest_delivery_ms"]) == (60_000, 250)
