"""The operators' view of the fleet."""

import os
from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from core.version import build
from runtime.process import ServerProcess
from tests.support.api import ApiFixture

MACHINE_TOKEN = "machine"


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"server": {"machine": "qlive-a"}, "ops": {"token": MACHINE_TOKEN}}


async def fleet(api: ApiFixture, server: ServerProcess) -> Any:
    """The answer after another renewal of the lease."""
    await server.context.realtime.lease.renew()
    return (await api.ops("GET", "fleet")).ok()


@pytest.mark.gen_test(timeout=20)
async def test_a_process_is_shown_with_what_it_is_and_its_readings(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.host()
    await (await host.connect()).next("snapshot")
    found = await fleet(api, server)
    assert (found["versions"], found["versions_differ"]) == ([build()], False)
    assert found["missing"] == 0
    [machine] = found["machines"]
    assert machine["machine"] == "qlive-a"
    [process] = machine["processes"]
    assert (process["id"], process["state"]) == (server.context.process_id, "serving")
    assert (process["pid"], process["worker"]) == (os.getpid(), None)
    assert (process["address"], process["version"]) == (server.address, build())
    assert 0 <= process["lease_age_seconds"] < 20
    readings = process["readings"]
    assert (readings["sockets"], readings["rooms"]) == (1, 1)
    assert None not in readings.values()
    server.context.metrics.loop_lag_seconds.set(0.25)
    server.context.lifecycle.draining = True
    [process] = (await fleet(api, server))["machines"][0]["processes"]
    assert (process["state"], process["readings"]["loop_lag_ms"]) == ("draining", 250)


@pytest.mark.gen_test(timeout=20)
async def test_processes_of_other_machines_and_releases_are_shown_beside_it(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    own = db.processes.find_one({"_id": server.context.process_id})
    assert own
    hour_ago, soon = (own["renewed_at"] + timedelta(seconds=s) for s in (-3000, 3000))
    other = {**own["report"], "machine": "qlive-b", "worker": 3, "later": True}
    db.processes.insert_many(
        [
            {"_id": "gone", "expires_at": hour_ago, "renewed_at": hour_ago, "report": other},
            {"_id": "before", "expires_at": soon, "held": True, "schema": 1},
        ]
    )
    found = await fleet(api, server)
    assert [it["machine"] for it in found["machines"]] == ["qlive-a", "qlive-b", None]
    assert (found["versions"], found["versions_differ"]) == ([build()], True)
    assert found["missing"] == 1
    [gone] = found["machines"][1]["processes"]
    assert (gone["id"], gone["state"], gone["worker"]) == ("gone", "missing", 3)
    assert gone["lease_age_seconds"] >= 3000
    [before] = found["machines"][2]["processes"]
    assert (before["state"], before["version"], before["lease_age_seconds"]) == (
        *("serving", None),
        None,
    )
    assert set(before["readings"].values()) == {None}
    assert {it["id"] for it in (await api.ops("GET", "overview")).ok()["processes"]} == {
        *(server.context.process_id, "before")
    }


@pytest.mark.gen_test(timeout=20)
async def test_fields_of_another_form_are_shown_as_unknown(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    """Each of them would make sorting, comparing or the answer fail."""
    own = db.processes.find_one({"_id": server.context.process_id})
    assert own
    wrong = {"worker": "first", "pid": "4711", "version": 2, "started_at": "now"}
    readings = own["report"]["readings"] | {"sockets": "many", "rooms": 1.5}
    reports: list[Any] = [
        own["report"] | wrong | {"readings": readings},
        own["report"] | {"machine": {"name": "qlive-a"}, "address": 8000, "readings": 7},
        ["qlive-a"],
    ]
    db.processes.insert_many(
        {"_id": f"{n}", "expires_at": own["expires_at"], "report": it}
        for n, it in enumerate(reports)
    )
    found = await fleet(api, server)
    assert [it["machine"] for it in found["machines"]] == ["qlive-a", None]
    processes = {it["id"]: it for machine in found["machines"] for it in machine["processes"]}
    assert {name: processes["0"][name] for name in wrong} == dict.fromkeys(wrong)
    assert processes["0"]["readings"] == readings | {"sockets": None, "rooms": None}
    assert (processes["1"]["pid"], processes["1"]["address"]) == (os.getpid(), None)
    assert set(processes["1"]["readings"].values()) == {None}
    assert processes["2"]["version"] is None
    assert found["versions"] == [build()]


@pytest.mark.gen_test(timeout=20)
async def test_queues_of_the_database_are_shown_once_for_all_processes(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    later = await server.context.database.now() + timedelta(hours=1)
    row = {"state": "urgent", "kind": "im_kick", "tries": 1, "payload": {}, "due_at": later}
    db.errands.insert_one(row)
    queues = (await fleet(api, server))["queues"]
    assert (queues["outbox_urgent"], queues["outbox_normal"]) == (1, 0)
    assert 0 <= queues["outbox_oldest_seconds"] < 20
    assert (queues["relay_rooms"], queues["relay_oldest_seconds"]) == (0, 0)


@pytest.mark.gen_test(timeout=20)
async def test_a_machine_that_watches_reads_the_fleet(api: ApiFixture) -> None:
    headers = {"Authorization": f"Bearer {MACHINE_TOKEN}"}
    found = (await api.request("GET", "/ops/api/fleet", headers=headers)).ok()
    assert found["machines"]
