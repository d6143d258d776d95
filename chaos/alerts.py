"""Which alerts of deploy/alerts.yml a run would have fired.

Each scrape is taken for one of a Prometheus, which are INTERVAL seconds apart: a scenario's faults
last for seconds where an alert waits for minutes.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import yaml

from chaos.report import RunReport
from chaos.run import Run
from chaos.scrapes import CHECKED_AT, RULES, Scrape, Scraper

INTERVAL = 15
FIRED = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))'


class AlertCheck:
    """Records scrapes of a fleet; `fired` evaluates the rules on them.

    The last ledger check is as long ago as in the servers, by the clock of the evaluation.
    """

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper
        self._scrapes: list[Scrape] = []

    async def record(self, seconds: float, times: int | None = None) -> None:
        """Scrape all servers every `seconds`, `times` times or until cancelled."""
        while times is None or times > 0:
            self._scrapes.append(await self._scraper.scrape())
            times = None if times is None else times - 1
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
                    at = moment * INTERVAL
                    row.append(f"{at + float(value):.3f}" if series == CHECKED_AT else value)
        # A series without a sample ends at once, as in Prometheus, instead of after five minutes.
        return {series: _stale(row, len(self._scrapes)) for series, row in found.items()}


@asynccontextmanager
async def alerts_checked(run: Run, seconds: float = 1.0) -> AsyncIterator[AlertCheck]:
    """Records while the block runs."""
    async with Scraper(run.fleet) as scraper:
        check = AlertCheck(scraper)
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
