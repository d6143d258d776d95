"""Scrapes of the servers' /metrics, reduced to the metrics of the alert rules."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from chaos.fleet import Fleet, Node
from tests.support.client import HttpClient

RULES = Path(__file__).parents[1] / "deploy" / "alerts.yml"
TIMEOUT_SECONDS = 1.0
CHECKED_AT = "qlive_ledger_checked_at"
"""A scrape has the time since then instead, as a negative number: see `AlertCheck`."""
USED = frozenset(re.findall(r"qlive_\w+", RULES.read_text()))
"""Metrics of the rules."""

Scrape = list[dict[str, str] | None]
"""By server: values by series, None if it did not answer."""


class Scraper:
    """Scrapes all servers of a fleet; an async context manager."""

    def __init__(self, fleet: Fleet, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._fleet, self._http = fleet, HttpClient(timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._http.close()

    async def scrape(self) -> Scrape:
        return list(await asyncio.gather(*map(self._scrape_one, self._fleet.nodes)))

    async def _scrape_one(self, node: Node) -> dict[str, str] | None:
        reply = await self._http.attempt("GET", f"{node.address}/metrics")
        return dict(_used(reply.text)) if reply.status else None


def _used(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        if name in USED:
            yield series, f"{float(value) - time.time():.3f}" if name == CHECKED_AT else value
