"""Servers are killed for minutes while thousands of clients listen: no event is missed."""

import asyncio
import time

from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

INTERVAL_SECONDS = (10.0, 20.0)
DOWN_SECONDS = (0.5, 5.0)
RECOVERY_P95, RECOVERY_MAX = 10.0, 30.0
DELIVERIES = 1_000_000
QUICK = RunSize(clients=300, pause=1.0)
FULL = RunSize(clients=2_000, pause=2.0, proxied=False)


async def resume(config: RunConfig) -> RunReport:
    """`config.seconds`: how long servers are killed."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started = time.monotonic()
        run.start_load()
        kills = await _kill_servers(run, config.seconds)
        await run.settle()
        await check_invariants(run)
        report = make_report(run, "resume", time.monotonic() - started, kills=kills)
        report.require("recovery_kill_p95", RECOVERY_P95)
        report.require("recovery_kill_max", RECOVERY_MAX)
        if "recovery_other_max" in report.metrics:
            report.require("recovery_other_max", RECOVERY_MAX)
        report.require("silence_timeouts", 0)
        if config.size.clients >= FULL.clients:
            report.require("deliveries", DELIVERIES, at_least=True)
        return report


async def _kill_servers(run: Run, seconds: float) -> int:
    deadline, kills, rng = time.monotonic() + seconds, 0, run.rng("kills")
    while time.monotonic() < deadline:
        await asyncio.sleep(rng.uniform(*INTERVAL_SECONDS))
        node = rng.choice(run.fleet.nodes)
        node.kill()
        kills += 1
        await asyncio.sleep(rng.uniform(*DOWN_SECONDS))
        node.program.release()
        await run.fleet.wait_ready(node)
    return kills


SCENARIO = Scenario(
    resume, "kill -9 of servers under thousands of clients", (QUICK, 60), (FULL, 600)
)
