"""Failovers and killed servers over real processes, at a small size.

Asserts guarantees, never durations.
"""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from chaos.replica_set import SETTINGS, deployed_parameters
from chaos.report import RunReport
from chaos.scenario import RunConfig, under_load
from chaos.scenarios.failover import SIZE, failover, longest_gap
from tests.support.paths import ROOT

SMALL = replace(SIZE, clients=8, rooms=1, processes=1)
NO_LIMIT = 1e9
OBSERVED = 0.5, 12.0
"""Seconds before and after the fault: enough for a room to take changes again."""


@pytest.mark.programs
@pytest.mark.linux
@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=200)
async def test_failover_loses_no_gift_and_refuses_none(data_folder: Path) -> None:
    inject = partial(failover, goals={"step_down": NO_LIMIT}, observed=OBSERVED)
    report = RunReport("failover", 1)
    await under_load(inject)(RunConfig(data_folder, SMALL, seconds=2), report)
    assert report.passed, report.line()
    assert report.metrics["acknowledged"] > 0
    assert report.metrics["new_primaries"] == report.metrics["recoveries"] == 1


def test_the_set_of_the_scenario_has_the_documented_settings() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    documented = re.search(r"settings: \{(.*?)\}", text)
    assert documented
    pairs = re.findall(r"(\w+): (\d+)", documented[1])
    assert {name: int(value) for name, value in pairs} == SETTINGS
    assert "oplogNetworkTimeoutBufferSeconds" in deployed_parameters()


@pytest.mark.parametrize(
    ("times", "gap"),
    [([], 10.0), ([11, 12, 13, 19], 6.0), ([19, 12, 13, 11], 6.0), ([5, 14, 25], 6.0)],
)
def test_longest_gap_includes_both_ends_of_the_time(times: list[float], gap: float) -> None:
    assert longest_gap(times, since=10, until=20) == gap
