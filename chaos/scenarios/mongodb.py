"""MongoDB is killed and restarted: writes are rejected meanwhile, and no event is lost."""

import asyncio
import time
from collections import Counter

from chaos.alerts import alerts_checked, require_alerts
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

ALERTS = ("QLiveMongoDBDown",)
BEFORE_SECONDS, AFTER_SECONDS = 10.0, 25.0
RECOVERY_SECONDS = 12.0
NOTICE_SECONDS = 1.0
QUICK, FULL = RunSize(clients=200), RunSize(clients=1_000, pause=2.0)


async def mongodb(config: RunConfig) -> RunReport:
    """`config.seconds`: how long MongoDB is down."""
    async with (
        started_run(config.folder, config.size, config.seed) as run,
        alerts_checked(run) as alerts,
    ):
        started = time.monotonic()
        run.start_load()
        await asyncio.sleep(BEFORE_SECONDS)
        killed_at = time.time()
        await run.fleet.mongod.kill()
        await asyncio.sleep(config.seconds)
        await run.fleet.mongod.start()
        returned_at = time.time()
        await asyncio.sleep(AFTER_SECONDS)
        while_down = _failed_requests(run, killed_at + NOTICE_SECONDS, returned_at)
        recovered_after = _last_failure_after(run, returned_at)
        await run.settle()
        await check_invariants(run)
        report = make_report(
            run,
            "mongodb",
            time.monotonic() - started,
            down_seconds=round(returned_at - killed_at, 1),
            rejected_while_down=while_down[503],
            unanswered_while_down=while_down[0],
            recovered_after=recovered_after,
        )
        report.require("rejected_while_down", 1, at_least=True)
        report.require("unanswered_while_down", 0)
        report.require("recovered_after", RECOVERY_SECONDS)
        await require_alerts(report, alerts, *ALERTS)
        return report


def _failed_requests(run: Run, since: float, until: float) -> Counter[int]:
    """Number of requests with 503 or without a response (0) in that time, by status."""
    return Counter(status for at, status in run.metrics.unavailable if since <= at <= until)


def _last_failure_after(run: Run, returned_at: float) -> float:
    """Seconds from MongoDB's return to the last request that failed."""
    late = [at - returned_at for at, _ in run.metrics.unavailable if at > returned_at]
    return round(max(late, default=0.0), 2)


# Down for longer than a client's request timeout, so that a request that hangs is detected.
SCENARIO = Scenario(mongodb, "MongoDB killed and restarted", (QUICK, 15), (FULL, 20), alerts=ALERTS)
