"""Failovers and killed servers over real processes, at a small size.

Asserts guarantees, never durations.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from chaos import replica_set
from chaos.scenario import RunConfig
from chaos.scenarios import failover
from chaos.scenarios.failover import longest_gap
from tests.support.paths import ROOT

SMALL = replace(failover.SIZE, clients=8, rooms=1)
NO_LIMIT = 1e9
OBSERVED_SECONDS = 6.0
"""Enough for a room to take changes again."""


@pytest.mark.programs
@pytest.mark.linux
@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_failover_loses_no_gift_and_refuses_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "GOALS", {"step_down": NO_LIMIT})
    monkeypatch.setattr(failover, "BEFORE_SECONDS", 0.5)
    monkeypatch.setattr(failover, "OBSERVED_SECONDS", OBSERVED_SECONDS)
    report = await failover.failover(RunConfig(folder, replace(SMALL, processes=1), seconds=2))
    assert report.passed, report.line()
    assert report.metrics["acknowledged"] > 0
    assert report.metrics["new_primaries"] == report.metrics["recoveries"] == 1


def test_the_set_of_the_scenario_has_the_documented_settings() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    documented = re.search(r"settings: \{(.*?)\}", text)
    assert documented
    pairs = re.findall(r"(\w+): (\d+)", documented[1])
    assert {name: int(value) for name, value in pairs} == replica_set.SETTINGS
    assert "oplogNetworkTimeoutBufferSeconds" in replica_set._deployed_parameters()


@pytest.mark.parametrize(
    ("times", "gap"),
    [([], 10.0), ([11, 12, 13, 19], 6.0), ([19, 12, 13, 11], 6.0), ([5, 14, 25], 6.0)],
)
def test_longest_gap_includes_both_ends_of_the_time(times: list[float], gap: float) -> None:
    assert longest_gap(times, since=10, until=20) == gap
