"""Debian's prometheus, with the alert rules, scraping one server."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.ports import free_port
from tests.support.promtool import RULES
from tests.support.waiting import until

INTERVAL = "250ms"


class Prometheus:
    """Started by `scraping`; scrapes and evaluates the rules every INTERVAL."""

    def __init__(self, http: aiohttp.ClientSession, address: str) -> None:
        self._http, self._address = http, address

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The result vector at this moment: rows of {metric, value}."""
        url = f"{self._address}/api/v1/query"
        async with self._http.get(url, params={"query": expression}) as answer:
            body = await answer.json()
        assert body["status"] == "success", (expression, body)
        rows: list[dict[str, Any]] = body["data"]["result"]
        return rows

    async def value(self, expression: str) -> float:
        """The only value of the result."""
        (row,) = await self.query(expression)
        return float(row["value"][1])

    async def has_scraped(self, count: int) -> bool:
        """Whether the target has been scraped `count` times."""
        try:
            rows = await self.query('count_over_time(up{job="qlive"}[1h])')
        except (aiohttp.ClientError, AssertionError):  # it starts
            return False
        return bool(rows) and float(rows[0]["value"][1]) >= count


@asynccontextmanager
async def scraping(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """A Prometheus that has scraped the address `target` twice."""
    port = free_port()
    target = target.removeprefix("http://")
    config = {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "qlive", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command)
    try:
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus(http, f"http://127.0.0.1:{port}")
            await until(lambda: prometheus.has_scraped(2))
            yield prometheus
    finally:
        process.terminate()
        process.wait()
