"""Latency of apply_micro while Tencent IM is healthy, slow or failing."""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.api_client import call_api, log_in, log_in_operator, open_room
from bench.report import BenchmarkReport, ratios
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.no_limits import NO_LIMITS
from runtime.process import ServerProcess
from telemetry.logging import configure_logging

RUNS = 5
USERS = 16  # concurrent, all in one room
REQUESTS = 30  # per user and run: half apply, half withdraw
HEALTHY = "healthy"
OUTAGES = {HEALTHY: {}, "slow (10 s)": {"seconds": 10}, "failing (503)": {"status": 503}}
"""By state of IM: the outage that is set in the simulator."""


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    configure_logging("error", as_json=False)
    overrides: Any = {"server": {"port": 0, "drain_seconds": 1}, "mongodb": {"uri": uri}}
    overrides["limits"] = NO_LIMITS
    overrides["mongodb"]["database"] = "bench_im_latency"
    server = ServerProcess(
        *fill_in_secrets(Settings.model_validate(overrides), folder / "dev-secrets.json")
    )
    await server.start()
    try:
        async with aiohttp.ClientSession(server.address) as http:
            await _measure(report, http, await log_in_operator(http))
            await http.post("/sim/outage", json={"service": "im"})
    finally:
        await server.stop()


async def _measure(report: BenchmarkReport, http: aiohttp.ClientSession, ops_token: str) -> None:
    _, live_id = await open_room(http, ops_token)
    users = [await log_in(http, f"m{n}", 1) for n in range(USERS)]
    for user in users:
        await call_api(http, user, "GET", f"get_playurl/?live_id={live_id}")
    p99s: dict[str, list[float]] = {state: [] for state in OUTAGES}
    for number in range(RUNS + 1):
        for state, outage in OUTAGES.items():
            await http.post("/sim/outage", json={"service": "im", **outage})
            p99 = await _p99(http, users, live_id)
            if number:  # run 0 is the warm-up
                p99s[state].append(p99)
    report.section(
        "Latency while Tencent IM is slow or failing",
        "p99 of apply_micro while IM is healthy, responds after 10 s, or responds with 503: "
        f"{RUNS} runs of {USERS} users with {REQUESTS // 2} requests each, in one room. "
        "`bench/im_latency.py`.",
    )
    report.spread_table([(f"IM {state}", p99s[state], 1) for state in OUTAGES], "p99 [ms]")
    relative = [
        (f"IM {state} : {HEALTHY}", ratios(p99s[state], p99s[HEALTHY]), 2)
        for state in OUTAGES
        if state != HEALTHY
    ]
    report.spread_table(relative)


async def _p99(http: aiohttp.ClientSession, users: list[Any], live_id: int) -> float:
    """p99 of apply_micro in ms."""
    latencies: list[float] = []

    async def apply_and_withdraw(user: Any) -> None:
        for _ in range(REQUESTS // 2):
            started = time.perf_counter()
            await call_api(http, user, "POST", "qlive_room/apply_micro/", live_id=live_id)
            latencies.append((time.perf_counter() - started) * 1000)
            await call_api(http, user, "POST", "qlive_room/refuse_micro/", live_id=live_id)

    await asyncio.gather(*(apply_and_withdraw(user) for user in users))
    return statistics.quantiles(latencies, n=100)[98]
