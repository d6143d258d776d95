"""Rolling restart of all processes under load: no event is missed, reconnects are spread."""

import asyncio
import time
from collections import Counter

from chaos.alerts import alerts_checked, require_alerts
from chaos.invariants import check_invariants
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

ALERTS = ("QLiveDown",)
WARM_UP_SECONDS = 5.0
PEAK_RATIO = 2.5
"""Maximum reconnects in the busiest second of a drain, relative to an even spread."""
STOP_SECONDS = 5.0
"""Time for a server to exit after its drain."""
DRAIN = "QLIVE_SERVER__DRAIN_SECONDS"
QUICK = RunSize(clients=300, settings={DRAIN: "6"})
FULL = RunSize(clients=2_000, pause=2.0, proxied=False, settings={DRAIN: "20"})


async def rolling(config: RunConfig) -> RunReport:
    """`config.seconds`: the pause between two restarts."""
    async with (
        started_run(config.folder, config.size, config.seed) as run,
        alerts_checked(run) as alerts,
    ):
        started = time.monotonic()
        run.start_load()
        await asyncio.sleep(WARM_UP_SECONDS)
        restarts: list[float] = []
        stops: list[float] = []
        drain = float(config.size.settings[DRAIN])
        for node in run.fleet.nodes:
            restarts.append(time.time())
            stops.append(round(await node.program.restart(), 1))
            await run.fleet.wait_ready(node)
            await asyncio.sleep(config.seconds)
        await run.settle()
        await check_invariants(run)
        reconnects = _reconnects_by_second(run, restarts)
        report = make_report(
            run,
            "rolling",
            time.monotonic() - started,
            slowest_stop=max(stops),
            peak_ratio=round(max(reconnects.values()) * drain / reconnects.total(), 2),
            reconnects_by_second_after_sigterm=dict(sorted(reconnects.items())),
        )
        report.require("peak_ratio", PEAK_RATIO)
        report.require("slowest_stop", drain + STOP_SECONDS)
        report.require("silence_timeouts", 0)
        await require_alerts(report, alerts, *ALERTS)
        return report


def _reconnects_by_second(run: Run, restarts: list[float]) -> Counter[int]:
    """Number of reconnects by seconds since the latest restart before them."""
    counts: Counter[int] = Counter()
    for at in run.metrics.recovered_at:
        earlier = [restart for restart in restarts if restart <= at]
        if earlier:
            counts[int(at - earlier[-1])] += 1
    return counts


SCENARIO = Scenario(
    rolling,
    "a rolling restart of all processes",
    (QUICK, 10),
    (FULL, 25),
    rounds=QUICK.processes,
    alerts=ALERTS,
)
