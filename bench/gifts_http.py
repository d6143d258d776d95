"""The same gifts over HTTP, to a server process with logging enabled."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.api_client import BASE_PATH, call_api, call_ops_api, log_in, open_room
from bench.report import BenchmarkReport
from bench.server_process import running_server

RUNS = 5
SENDERS = 64
GIFTS = 3_200  # per run


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        running_server(uri, "bench_gifts_http", folder) as (address, ops_token),
        aiohttp.ClientSession(address, connector=connector) as http,
    ):
        host, live_id = await open_room(http, ops_token)
        users = [await log_in(http, f"m{n}", 1) for n in range(SENDERS)]
        for user in users:
            grant = {"gold": 10**8, "reason": "bench", "request_id": user["user_id"]}
            await call_ops_api(http, ops_token, "POST", f"users/{user['user_id']}/grant", **grant)
            await call_api(http, user, "GET", f"get_playurl/?live_id={live_id}")
        runs = [await _run(http, host, users, f"{number}") for number in range(RUNS + 1)]
    report.paragraph(
        f"The same over HTTP, to a server process with logging enabled: {SENDERS} clients, {RUNS} "
        f"runs of {GIFTS:,} gifts. The load client, in Python, takes as much of the machine as the "
        "server. `bench/gifts_http.py`."
    )
    rates, p99s = [rate for rate, _ in runs[1:]], [p99 for _, p99 in runs[1:]]
    report.spread_table([("responses per second", rates, 0), ("p99 [ms]", p99s, 1)])


async def _run(
    http: aiohttp.ClientSession, host: Any, senders: list[Any], name: str
) -> tuple[float, float]:
    """(gifts per second, p99 in ms)."""
    latencies: list[float] = []

    async def send_gifts(sender: Any) -> None:
        path = f"{BASE_PATH}qlive_gift/push_gift/?gift_id=1&num=1&user_id={host['user_id']}"
        headers = {"Authorization": f"QLiveToken {sender['token']}"}
        for number in range(GIFTS // SENDERS):
            sent_at = time.perf_counter()
            async with http.get(f"{path}&request_id={name}-{number}", headers=headers) as response:
                assert (await response.json())["status"] == "success"
            latencies.append(time.perf_counter() - sent_at)

    started = time.perf_counter()
    await asyncio.gather(*map(send_gifts, senders))
    rate = len(latencies) / (time.perf_counter() - started)
    return rate, 1_000 * statistics.quantiles(latencies, n=100)[98]
