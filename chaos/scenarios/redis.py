"""Redis is down for a minute under load: rooms keep working, with more delay."""

import asyncio
import time
from typing import Any

import aiohttp

from chaos.alerts import alerts_checked, require_alerts
from chaos.fleet import Node
from chaos.invariants import check_invariants
from chaos.report import RunReport, delivery_metrics, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

ALERTS = ("QLiveRedisDown",)
BEFORE_SECONDS = AFTER_SECONDS = 15.0
NOTICE_SECONDS = 5.0
"""Maximum delay until /readyz reports that Redis went down or came back."""
DOWN_MS, NORMAL_MS = 1_500, 500
RECOVERY_SECONDS = 60.0
QUICK, FULL = RunSize(clients=200), RunSize(clients=1_000, pause=2.0)


async def redis(config: RunConfig) -> RunReport:
    """`config.seconds`: how long Redis is down."""
    async with (
        started_run(config.folder, config.size, config.seed) as run,
        alerts_checked(run) as alerts,
    ):
        started = time.monotonic()
        run.start_load()
        start = time.time()
        await asyncio.sleep(BEFORE_SECONDS)
        run.fleet.redis.hold_down()
        killed_at = time.time()
        await _watch_health(run, config.seconds)
        run.fleet.redis.release()
        returned_at = time.time()
        ready_after = await _wait_all_ready(run)
        await asyncio.sleep(AFTER_SECONDS)
        end = time.time()
        await run.settle()
        await check_invariants(run)
        report = make_report(
            run,
            "redis",
            time.monotonic() - started,
            ready_after=ready_after,
            **delivery_metrics(run, (start, killed_at), "before"),
            **delivery_metrics(run, (killed_at, returned_at), "down"),
            **delivery_metrics(run, (returned_at + NOTICE_SECONDS, end), "after"),
        )
        report.require("down_ms_p99", DOWN_MS)
        report.require("after_ms_p99", NORMAL_MS)
        report.require("ready_after", NOTICE_SECONDS)
        report.require("silence_timeouts", 0)
        await require_alerts(report, alerts, *ALERTS)
        return report


async def _watch_health(run: Run, seconds: float) -> None:
    """Check /healthz and /readyz: alive and ready throughout, degraded after NOTICE_SECONDS."""
    killed_at = time.monotonic()
    while time.monotonic() - killed_at < seconds:
        await asyncio.sleep(1)
        for node in run.fleet.nodes:
            status, _ = await health(node, "healthz")
            if status != 200:
                run.violations.add("not_alive", f"server {node.number}: {status}")
            status, state = await health(node, "readyz")
            noticed = time.monotonic() - killed_at > NOTICE_SECONDS
            if status != 200 or (noticed and state != "degraded"):
                run.violations.add("not_degraded", f"server {node.number}: {status} {state}")


async def _wait_all_ready(run: Run) -> float:
    """Seconds until /readyz of every process is ok, at most RECOVERY_SECONDS."""
    started = time.monotonic()
    while time.monotonic() - started < RECOVERY_SECONDS:
        states = [await health(node, "readyz") for node in run.fleet.nodes]
        if states == [(200, "ok")] * len(states):
            break
        await asyncio.sleep(0.2)
    return round(time.monotonic() - started, 2)


async def health(node: Node, path: str) -> tuple[int, Any]:
    """(HTTP status, status in the body); (0, "") without a response within 5 s."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"http://127.0.0.1:{node.server_port}/{path}") as response,
        ):
            return response.status, (await response.json())["status"]
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, ""


SCENARIO = Scenario(redis, "Redis down under load", (QUICK, 20), (FULL, 60), alerts=ALERTS)
