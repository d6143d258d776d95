"""Alerts of deploy/alerts.yml that a run would have fired.

Each scrape is taken for one of a Prometheus, which are INTERVAL seconds apart: a scenario's faults
last for seconds where an alert waits for minutes.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from chaos.fleet import Fleet, Node
from chaos.report import RunReport
from tests.support.client import HttpClient

RULES = Path(__file__).parents[1] / "deploy" / "alerts.yml"
INTERVAL = 15
TIMEOUT_SECONDS = 5.0
"""Timeout of a scrape."""
FIRED = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))'
LEFT_OUT = frozenset({"qlive_bill_checked_at", "qlive_ledger_checked_at", "qlive_loop_lag_seconds"})
"""Times, while promtool's begins at 0, and how busy this machine is."""
USED = frozenset(re.findall(r"qlive_\w+", RULES.read_text())) - LEFT_OUT
"""Metrics of the rules."""

Scrape = list[dict[str, str] | None]
"""By server: values by series, None if it did not answer."""


class AlertCheck:
    """Records scrapes of a fleet; `fired` evaluates the rules on them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._scrapes: list[Scrape] = []

    async def scrape(self) -> Scrape:
        """Scrape all servers now, and keep the result."""
        http = HttpClient(TIMEOUT_SECONDS)
        try:
            servers = await asyncio.gather(*(_scrape(http, node) for node in self._fleet.nodes))
        finally:
            await http.close()
        self._scrapes.append(list(servers))
        return self._scrapes[-1]

    async def record(self, minutes: float, pause: float = 0.0) -> None:
        """Make the scrapes of so many minutes, `pause` seconds apart."""
        for _ in range(round(60 * minutes / INTERVAL)):
            await self.scrape()
            await asyncio.sleep(pause)

    async def fired(self) -> set[str]:
        """Names of the alerts that have fired at some time."""
        return await fired_by(self._series(), len(self._scrapes) * INTERVAL)

    def _series(self) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for moment, servers in enumerate(self._scrapes):
            for number, values in enumerate(servers):
                up = {"up": "0" if values is None else "1"}
                for series, value in {**(values or {}), **up}.items():
                    row = found.setdefault(_labelled(series, number), [])
                    row += ["_"] * (moment - len(row)) + [value]
        # A series without a sample ends at once, as in Prometheus, instead of after five minutes.
        return {series: _stale(row, len(self._scrapes)) for series, row in found.items()}


@asynccontextmanager
async def alerts_checked(fleet: Fleet, seconds: float) -> AsyncIterator[AlertCheck]:
    """Scrapes every `seconds` while the block runs."""
    check = AlertCheck(fleet)
    task = asyncio.create_task(check.record(24 * 60, seconds))
    try:
        yield check
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def require_alerts(report: RunReport, check: AlertCheck, *expected: str) -> None:
    """Add the goal that these alerts, at least, have fired."""
    fired = await check.fired()
    report.metrics["alerts"] = sorted(fired)
    report.metrics["alerts_missing"] = len(set(expected) - fired)
    report.require("alerts_missing", 0)


async def fired_by(series: Mapping[str, str], seconds: int) -> set[str]:
    """The alerts that have fired after `seconds`; `series` have promtool's notation of samples."""
    test: dict[str, Any] = {
        "interval": f"{INTERVAL}s",
        "input_series": [{"series": name, "values": row} for name, row in series.items()],
        "promql_expr_test": [{"expr": FIRED, "eval_time": f"{seconds}s", "exp_samples": []}],
    }
    rules = {"rule_files": [str(RULES)], "evaluation_interval": f"{INTERVAL}s", "tests": [test]}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(rules, file)
        file.flush()
        promtool = await asyncio.create_subprocess_exec(
            *("promtool", "test", "rules", file.name),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await promtool.communicate())[0].decode()
    if not promtool.returncode:
        return set()
    _, found, got = output.partition("got:")  # instead of nothing
    if not found:
        raise RuntimeError(output)
    return set(re.findall(r'alertname="(\w+)"', got))


async def _scrape(http: HttpClient, node: Node) -> dict[str, str] | None:
    reply = await http.attempt("GET", f"{node.address}/metrics")
    return dict(_used(reply.text)) if reply.succeeded else None


def _used(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] in USED:
            yield series, value


def _labelled(series: str, server: int) -> str:
    name, _, labels = series.partition("{")
    return f'{name}{{job="qlive",instance="{server}"{"," if labels else ""}{labels or "}"}'


def _stale(row: list[str], length: int) -> str:
    """The row with `stale` where samples end or pause."""
    row = row + ["_"] * (length - len(row))
    marked = [
        "stale" if value == "_" and n and row[n - 1] != "_" else value
        for n, value in enumerate(row)
    ]
    return " ".join(marked)
