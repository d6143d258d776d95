import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.__main__ import SCENARIOS
from chaos.hurried_server import INTERVALS
from chaos.scenario import RunConfig
from chaos.scenarios import alerts
from chaos.scenarios.alerts import FAULTS, waiting_seconds
from tests.support.paths import ROOT
from tests.support.promtool import alert_names


def test_every_alert_is_fired_by_one_scenario() -> None:
    fired = Counter(alert for scenario in SCENARIOS.values() for alert in scenario.alerts)
    assert fired == Counter(alert_names())


def test_the_operations_page_has_the_scenario_and_the_fault_of_each_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    cells = dict(re.findall(r"^\| (QLive\w+) \| .* \| (.*) \|$", page, re.MULTILINE))
    scenarios = {alert: name for name, it in SCENARIOS.items() for alert in it.alerts}
    words: dict[str, list[str]] = {}
    for fault in FAULTS:
        words.setdefault(fault.alert, []).append(fault.words)
    assert cells == {
        alert: f"`{name}`" + (f": {'; '.join(words[alert])}" if name == "alerts" else "")
        for alert, name in scenarios.items()
    }


def test_a_fault_lasts_for_the_time_of_its_rule() -> None:
    assert waiting_seconds("QLiveTransferProblem") == 20 * 60
    assert waiting_seconds("QLivePlatformEvent") == 0


def test_only_jobs_that_exist_are_hurried() -> None:
    text = (ROOT / "runtime" / "jobs.py").read_text()
    names = {*re.findall(r'"(\w+)",', text), "orders_jsapi", "orders_xpay"}
    assert INTERVALS.keys() <= names
    assert 'f"orders_{lane}"' in text


@pytest.mark.programs
@pytest.mark.linux
@pytest.mark.usefixtures("file_limit")
@pytest.mark.gen_test(timeout=120)
async def test_a_fault_that_fires_another_alert_than_its_own_fails_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, *_ = (fault for fault in FAULTS if fault.alert == "QLiveOperatorTokensRefused")
    other = replace(own, alert="QLiveFlood", words="a flood")
    monkeypatch.setattr(alerts, "FAULTS", (own, other))
    monkeypatch.setattr(alerts, "ALERTS", (own.alert,))
    monkeypatch.setattr(alerts, "QUIET_SCRAPES", 1)
    size = replace(alerts.SIZE, clients=5, rooms=1, processes=1)
    report = await alerts.alerts(RunConfig(folder, size, seconds=0))
    assert report.metrics["alerts"] == [own.alert]
    assert report.metrics["other_alerts"] == {"a flood": [own.alert]}
    assert not report.violations, report.line()
    assert report.missed == ["phases_with_other_alerts 1, at most 0"]
