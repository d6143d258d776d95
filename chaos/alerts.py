"""Alerts of deploy/alerts.yml that a run would have fired.

Each scrape is taken for one of a Prometheus, which are INTERVAL seconds apart: a scenario's faults
last for seconds where an alert waits for minutes.
"""

import asyncio
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from chaos.fleet import Node
from chaos.report import RunReport
from tests.support.client import HttpClient
from tests.support.promtool import INTERVAL, RULES, check_rule_tests, rule_test, with_labels

TIMEOUT_SECONDS = 5.0
"""Timeout of a scrape."""
IGNORED = frozenset({"qlive_bill_checked_at", "qlive_ledger_checked_at", "qlive_loop_lag_seconds"})
"""Times, while promtool's begins at 0, and how busy this machine is."""
USED = frozenset(re.findall(r"qlive_\w+", RULES.read_text())) - IGNORED
"""Metrics of the rules."""

Scrape = list[dict[str, str] | None]
"""By server: values by series, None if it did not answer."""


class AlertCheck:
    """Records scrapes of servers; `fired` evaluates the rules on them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.scrapes: list[Scrape] = []
        self._nodes = nodes

    async def scrape(self) -> Scrape:
        """Scrape all servers now, and keep the result."""
        http = HttpClient(TIMEOUT_SECONDS)
        try:
            servers = await asyncio.gather(*(_scrape(http, node.address) for node in self._nodes))
        finally:
            await http.close()
        self.scrapes.append(list(servers))
        return self.scrapes[-1]

    async def record(self, minutes: float, pause: float = 0.0) -> None:
        """Make the scrapes of so many minutes, `pause` seconds apart."""
        for _ in range(round(60 * minutes / INTERVAL)):
            await self.scrape()
            await asyncio.sleep(pause)

    async def fired(self) -> set[str]:
        """Names of the alerts that have fired at some time."""
        seconds = len(self.scrapes) * INTERVAL
        return await asyncio.to_thread(_fired_by, series_of(self.scrapes), seconds)


async def require_alerts(report: RunReport, check: AlertCheck, *expected: str) -> None:
    """Add the goal that these alerts, at least, have fired."""
    fired = await check.fired()
    report.metrics["alerts"] = sorted(fired)
    report.metrics["alerts_missing"] = len(set(expected) - fired)
    report.require("alerts_missing", 0)


def series_of(scrapes: Sequence[Scrape]) -> dict[str, str]:
    """Return the samples of each series, in promtool's notation."""
    found: dict[str, list[str]] = {}
    for moment, servers in enumerate(scrapes):
        for number, values in enumerate(servers):
            up = {"up": "0" if values is None else "1"}
            for series, value in {**(values or {}), **up}.items():
                labelled = with_labels(series, job="qlive", instance=str(number))
                row = found.setdefault(labelled, [])
                row += ["_"] * (moment - len(row)) + [value]
    # A series without a sample ends at once, as in Prometheus, instead of after five minutes.
    return {series: _stale(row, len(scrapes)) for series, row in found.items()}


def _stale(row: list[str], length: int) -> str:
    """Return the row with `stale` where samples end or pause."""
    row = row + ["_"] * (length - len(row))
    marked = [
        "stale" if value == "_" and n and row[n - 1] != "_" else value
        for n, value in enumerate(row)
    ]
    return " ".join(marked)


def _fired_by(series: Mapping[str, str], seconds: int) -> set[str]:
    """Return the alerts that fired in `seconds`: promtool names them, as none is expected."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            check_rule_tests(Path(folder), {"run": rule_test(series, f"{seconds}s", ())})
        except AssertionError as failure:
            _, found, got = str(failure).partition("got:")
            if not found:
                raise
            return set(re.findall(r'alertname=\\?"(\w+)', got))
    return set()


async def _scrape(http: HttpClient, address: str) -> dict[str, str] | None:
    reply = await http.attempt("GET", f"{address}/metrics")
    if not reply.succeeded:
        return None
    lines = (line.rpartition(" ") for line in reply.text.splitlines())
    return {series: value for series, _, value in lines if series.partition("{")[0] in USED}
