"""Continuous scrapes of /metrics, each answered by any worker."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from tests.support.supervised_program import fresh_connections

INTERVAL_SECONDS = 0.02
Sample = dict[str, float]
"""Values by series, as in the text."""


def parse(text: str) -> Sample:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def counters(text: str) -> set[str]:
    """Names of the samples that may only rise."""
    found = re.findall(r"^# TYPE (\S+) (counter|histogram)$", text, re.MULTILINE)
    suffixes = {"counter": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {name + suffix for name, kind in found for suffix in suffixes[kind]}


class Scraper:
    """Scrapes over new connections, so that any worker answers, and remembers values that fell."""

    def __init__(self, address: str) -> None:
        self._url = f"{address}/metrics"
        self.last: Sample = {}
        self.text = ""
        self.pids: set[float] = set()
        """Process ids of the workers that have answered."""
        self.fallen: dict[str, tuple[float, float]] = {}
        self.count = 0

    async def scrape(self) -> Sample:
        async with fresh_connections() as http, http.get(self._url) as answer:
            text = await answer.text()
            assert answer.status == 200, text
        sample, rising = parse(text), counters(text)
        for series, before in self.last.items():
            if series.partition("{")[0] in rising and sample.get(series, 0) < before:
                self.fallen[series] = (before, sample.get(series, 0))
        self.last, self.text = sample, text
        self.pids.add(sample["qlive_process_id"])
        self.count += 1
        return sample

    async def settled(self, series: str) -> float:
        """The value once every worker has answered, and so has written what it counted."""
        pids: set[float] = set()
        # Not `qlive_workers`, which the supervisor writes every second: a start may not be in it.
        while len(pids) < self.last.get("qlive_workers_wanted", 1):
            pids.add((await self.scrape())["qlive_process_id"])
        return (await self.scrape()).get(series, 0)

    @asynccontextmanager
    async def scraping(self) -> AsyncIterator[None]:
        """While the block runs; each worker has answered before, and answers once more after it."""
        await self.settled("")
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):
                await task
        await self.settled("")

    async def _run(self) -> None:
        while True:
            with suppress(aiohttp.ClientError):  # a worker was killed while it answered
                await self.scrape()
            await asyncio.sleep(INTERVAL_SECONDS)
