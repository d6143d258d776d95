"""Which alerts of deploy/alerts.yml a run would have fired.

The servers are scraped every second, and each scrape is taken for one of a Prometheus, which are
INTERVAL seconds apart: a scenario's faults last for seconds where an alert waits for minutes.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from chaos.fleet import Fleet
from chaos.report import RunReport
from chaos.run import Run

RULES = Path(__file__).parents[1] / "deploy" / "alerts.yml"
INTERVAL = 15
TIMEOUT_SECONDS = 1.0
FIRED = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))'
USED = frozenset(re.findall(r"qlive_\w+", RULES.read_text())) - {"qlive_ledger_checked_at"}
"""Metrics of the rules, without the one that is compared with the present time."""


class AlertCheck:
    """Records the scrapes of a fleet; `fired` evaluates the rules on them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._scrapes: list[list[dict[str, str] | None]] = []
        """Each time, by server: values by series, None if it did not answer."""

    async def record(self, seconds: float) -> None:
        """Scrape all servers every `seconds` until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            while True:
                ports = [node.server_port for node in self._fleet.nodes]
                self._scrapes.append(await asyncio.gather(*(_scrape(http, it) for it in ports)))
                await asyncio.sleep(seconds)

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
                    row += ["_"] * (moment - len(row))
                    row.append(value)
        # A series without a sample ends at once, as in Prometheus, instead of after five minutes.
        return {series: _stale(row, len(self._scrapes)) for series, row in found.items()}


@asynccontextmanager
async def alerts_checked(run: Run, seconds: float = 1.0) -> AsyncIterator[AlertCheck]:
    """Records while the block runs."""
    check = AlertCheck(run.fleet)
    task = asyncio.create_task(check.record(seconds))
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


async def _scrape(http: aiohttp.ClientSession, port: int) -> dict[str, str] | None:
    try:
        async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return None
    return dict(_used(text.splitlines()))


def _used(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
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
