import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chaos import hurried_server
from chaos.__main__ import SCENARIOS
from chaos.scenarios import alerts
from chaos.scenarios.alerts import FAULTS, AlertFault, Phases, waiting_seconds
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


class FakeScraper:
    """One server, whose counter of wrong operators' tokens is set."""

    refused = 0

    async def scrape(self) -> list[dict[str, str]]:
        return [{"qlive_operator_tokens_refused_total": str(self.refused)}]


@pytest.mark.programs
@pytest.mark.gen_test(timeout=20)
async def test_a_phase_with_another_alert_than_that_of_its_fault_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scraper: Any = FakeScraper()
    monkeypatch.setattr(alerts, "QUIET_SCRAPES", 4)

    @asynccontextmanager
    async def wrong_tokens(_env: Any) -> AsyncIterator[None]:
        scraper.refused += 8
        yield

    phases, own = Phases(), "QLiveOperatorTokensRefused"
    phases.add("quiet", (), await alerts._quiet(scraper, 0))
    for words, alert in (("wrong tokens", own), ("a flood", "QLiveFlood")):
        fault = AlertFault(alert, words, wrong_tokens, pause=0)
        phases.add(words, (alert,), await alerts._inject(scraper, scraper, fault))
    assert await phases.fired() == ({own}, {"a flood": [own]})


def test_only_jobs_that_exist_are_hurried() -> None:
    text = (ROOT / "runtime" / "jobs.py").read_text()
    names = {*re.findall(r'"(\w+)",', text), "orders_jsapi", "orders_xpay"}
    assert hurried_server.INTERVALS.keys() <= names
    assert 'f"orders_{lane}"' in text


def test_the_hurried_server_has_the_command_line_of_the_server() -> None:
    environment = {**os.environ, **hurried_server.ENVIRONMENT}
    command = [sys.executable, alerts.SIZE.program, "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "server for live matchmaking rooms" in done.stdout, done.stderr
