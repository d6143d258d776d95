import re
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.__main__ import SCENARIOS
from chaos.alerts import AlertCheck, require_alerts, series_of
from chaos.report import RunReport
from chaos.scenarios.alerts import FAULTS
from tests.deploy.test_alerts import TESTED
from tests.support.paths import ROOT
from tests.support.promtool import alert_names

UP = 'up{job="qlive",instance="0"}'


def test_every_alert_is_fired_by_one_scenario_or_by_a_test() -> None:
    fired = [alert for scenario in SCENARIOS.values() for alert in scenario.alerts]
    assert sorted([*fired, *TESTED]) == sorted(alert_names())


def test_the_operations_page_has_the_scenario_and_the_fault_of_each_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    cells = dict(re.findall(r"^\| (QLive\w+) \| (.*) \|$", page, re.MULTILINE))
    words = {fault.alert: f"`alerts`: {fault.description}" for fault in FAULTS}
    words |= dict.fromkeys(SCENARIOS["hostile"].alerts, "`hostile`")
    assert cells.keys() == set(alert_names())
    assert {alert: cell for alert, cell in cells.items() if cell.startswith("`")} == words


def test_series_of_a_server_that_does_not_answer_end_at_once() -> None:
    up = {'qlive_dependency_up{dependency="im"}': "0.5"}
    assert series_of([[up, {}], [None, {}], [None, {}], [up, {}]]) == {
        'qlive_dependency_up{dependency="im",job="qlive",instance="0"}': "0.5 stale _ 0.5",
        UP: "1 0 0 1",
        'up{job="qlive",instance="1"}': "1 1 1 1",
    }


@pytest.mark.programs
async def test_an_alert_that_was_expected_and_did_not_fire_fails_the_run() -> None:
    node: Any = SimpleNamespace(address="http://127.0.0.1:1")  # nothing listens there
    check = AlertCheck([node])
    await check.record(minutes=2)
    report = RunReport("scenario", 1)
    await require_alerts(report, check, "QLiveDown")
    assert (report.passed, report.metrics["alerts"]) == (True, ["QLiveDown"])
    await require_alerts(report, check, "QLiveDown", "QLiveRedisDown")
    assert not report.passed
