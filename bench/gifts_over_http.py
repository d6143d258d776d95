"""The same gifts as phones send them: over HTTP, to a server process with its log on."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.phones import BASE, call, log_in, open_room, operate
from bench.program import serving
from bench.report import Report

RUNS = 5
SENDERS = 64
GIFTS = 3_200  # per run


async def run(report: Report, uri: str, folder: Path) -> None:
    everybody = aiohttp.TCPConnector(limit=0)
    async with (
        serving(uri, "bench_gifts_over_http", folder) as (address, ops_token),
        aiohttp.ClientSession(address, connector=everybody) as http,
    ):
        host, live_id = await open_room(http, ops_token)
        people = [await log_in(http, f"m{n}", 1) for n in range(SENDERS)]
        for person in people:
            grant = {"gold": 10**8, "reason": "bench", "request_id": person["user_id"]}
            await operate(http, ops_token, "POST", f"users/{person['user_id']}/grant", **grant)
            await call(http, person, "GET", f"get_playurl/?live_id={live_id}")
        runs = [await _run(http, host, people, f"{number}") for number in range(RUNS + 1)]
    report.words(
        f"As phones send them, over HTTP to a server process with its log on: {SENDERS} phones, "
        f"{RUNS} runs of {GIFTS:,}; the load client, in Python, takes as much of the machine as "
        "the server. `bench/gifts_over_http.py`."
    )
    rates, waits = [rate for rate, _ in runs[1:]], [p99 for _, p99 in runs[1:]]
    report.show([("answered per second", rates, 0), ("p99 [ms]", waits, 1)])


async def _run(
    http: aiohttp.ClientSession, host: Any, people: list[Any], name: str
) -> tuple[float, float]:
    """(gifts per second, p99 in ms)."""
    took: list[float] = []

    async def sender(person: Any) -> None:
        path = f"{BASE}qlive_gift/push_gift/?gift_id=1&num=1&user_id={host['user_id']}"
        headers = {"Authorization": f"QLiveToken {person['token']}"}
        for number in range(GIFTS // SENDERS):
            began = time.perf_counter()
            async with http.get(f"{path}&request_id={name}-{number}", headers=headers) as answer:
                assert (await answer.json())["status"] == "success"
            took.append(time.perf_counter() - began)

    started = time.perf_counter()
    await asyncio.gather(*map(sender, people))
    rate = len(took) / (time.perf_counter() - started)
    return rate, 1_000 * statistics.quantiles(took, n=100)[98]
