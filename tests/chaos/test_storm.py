"""A short storm over real processes, with faults of every track; `make chaos` runs long ones.

Asserts guarantees, never durations.
"""

from functools import partial
from pathlib import Path

import pytest

from chaos.faults import TRACKS, Fault
from chaos.fleet import RunSize
from chaos.report import RunReport
from chaos.scenario import RunConfig, under_load
from chaos.scenarios.storm import storm

pytestmark = [pytest.mark.programs, pytest.mark.linux]

SECONDS = 5.0
PLAN = [
    Fault(0.5, 0.05, "clients", "reset", 0),
    Fault(1.0, 0.5, "server", "kill", 1),
    Fault(1.0, 1.0, "redis", "kill", 0),
    Fault(2.0, 1.0, "clients", "half_open", 0),
    Fault(3.0, 0.2, "mongodb", "kill", 0),
    Fault(3.5, 1.0, "redis", "half_open", 0),
    Fault(4.0, 0.0, "server", "deploy", 0),
    Fault(4.2, 0.5, "clients", "lossy", 1),
]
SETTINGS = {
    "QLIVE_REALTIME__HEARTBEAT_SECONDS": "2",
    "QLIVE_SERVER__DRAIN_SECONDS": "1",
}
SIZE = RunSize(clients=14, rooms=2, processes=2, pause=0.3, silence_timeout=3.0, settings=SETTINGS)


@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=300)
async def test_all_guarantees_hold_in_a_storm(data_folder: Path) -> None:
    assert {fault.track for fault in PLAN} == set(TRACKS)
    report = RunReport("storm", 1)
    await under_load(partial(storm, plan=PLAN))(RunConfig(data_folder, SIZE, SECONDS), report)
    assert not report.violations, report.line()
    metrics = report.metrics
    assert metrics["server_starts"] >= SIZE.processes + 2, "one was killed, one deployed"
    assert metrics["reconnects"] > 0
    assert metrics["resumed"] > 0
    assert metrics["acknowledged"] > SIZE.rooms
    assert metrics["deliveries"] > metrics["acknowledged"]
