"""A short storm over real processes, with trouble of every track; `make chaos` has the long ones.

The promises are asserted, never times.
"""

from pathlib import Path

import pytest

from chaos import plan
from chaos.plan import Trouble
from chaos.play import Play
from chaos.scene import Size
from chaos.storm import storm

pytestmark = [pytest.mark.programs, pytest.mark.linux]

SECONDS = 8.0
PLAN = [
    Trouble(0.5, 0.05, "phones", "reset", 0),
    Trouble(1.0, 0.5, "server", "kill", 1),
    Trouble(1.5, 1.5, "redis", "kill", 0),
    Trouble(3.0, 1.5, "phones", "half_open", 0),
    Trouble(4.5, 0.2, "mongodb", "kill", 0),
    Trouble(5.5, 0.0, "server", "deploy", 0),
    Trouble(6.0, 1.0, "phones", "lossy", 1),
    Trouble(6.0, 1.0, "redis", "half_open", 0),
    Trouble(7.0, 0.05, "mongodb", "reset", 0),
]
SETTINGS = {
    "QLIVE_REALTIME__HEARTBEAT_SECONDS": "1",
    "QLIVE_REALTIME__SILENT_SECONDS": "8",
    "QLIVE_SERVER__DRAIN_SECONDS": "1",
    "QLIVE_PRESENCE__LEASE_SECONDS": "5",
}
SIZE = Size(clients=27, rooms=3, processes=2, pause=0.4, silence=3.0, settings=SETTINGS)


@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=300)
async def test_no_promise_breaks_in_a_storm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "make", lambda *_: PLAN)
    monkeypatch.setattr("chaos.actors.LATEST_SECONDS", 2.0)  # no process stops for as long
    assert {trouble.track for trouble in PLAN} == set(plan.TRACKS)
    report = await storm(Play(folder, SIZE, SECONDS))
    assert not report.faults, report.line()
    figures = report.figures
    assert figures["server_starts"] >= SIZE.processes + 2, "one was killed, one renewed"
    assert figures["reconnects"] > 0
    assert figures["resumed"] > 0
    assert figures["acknowledged"] > SIZE.rooms
    assert figures["deliveries"] > figures["acknowledged"]
