"""The primary of a replica set steps down, is killed and is suspended, under gifts."""

import asyncio
import time
from collections.abc import Iterable
from itertools import pairwise

from chaos.invariants import check_invariants
from chaos.replica_set import ReplicaSet
from chaos.report import RunReport, make_report
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario

BEFORE_SECONDS, OBSERVED_SECONDS = 4.0, 14.0
GOALS = {"step_down": 2.0, "kill": 6.0, "freeze": 10.0}
"""Seconds without an acknowledged change, by fault."""
SIZE = RunSize(clients=40, rooms=4, processes=2, pause=0.3, proxied=False, replicated=True)


async def failover(config: RunConfig) -> RunReport:
    """`config.seconds` is divided among the faults; each is repeated for that long."""
    async with started_run(config.folder, config.size, config.seed) as run:
        started = time.monotonic()
        run.start_load()
        gaps: dict[str, list[float]] = {fault: [] for fault in GOALS}
        elected: list[bool] = []
        for _ in range(max(1, round(config.seconds / (len(GOALS) * OBSERVED_SECONDS)))):
            for fault, found in gaps.items():
                gap, is_new = await _fail_over(run, fault)
                found.append(round(gap, 2))
                elected.append(is_new)
        await run.settle()
        await check_invariants(run)
        report = make_report(
            run,
            "failover",
            time.monotonic() - started,
            new_primaries=sum(elected),
            recoveries=sum(gap < OBSERVED_SECONDS for found in gaps.values() for gap in found),
            seconds_without_change=gaps,
            **{f"{fault}_longest": max(found) for fault, found in gaps.items()},
        )
        report.require("new_primaries", len(elected), at_least=True)
        report.require("recoveries", len(elected), at_least=True)
        for fault, limit in GOALS.items():
            report.require(f"{fault}_longest", limit)
        return report


async def _fail_over(run: Run, fault: str) -> tuple[float, bool]:
    """Seconds without an acknowledged change, and whether another member is the primary."""
    replica_set = run.fleet.replica_set
    assert replica_set
    await asyncio.sleep(BEFORE_SECONDS)
    port, since = await replica_set.primary(), time.time()
    await _inject(replica_set, fault, port)
    await asyncio.sleep(OBSERVED_SECONDS)
    changes = [op.acknowledged_at for room in run.rooms for op in room.operations]
    gap = longest_gap(changes, since, time.time())
    is_new = await replica_set.primary() != port
    await replica_set.resume(port)
    return gap, is_new


def longest_gap(times: Iterable[float], since: float, until: float) -> float:
    """The longest time without any of these times between `since` and `until`."""
    marks = [since, *sorted(at for at in times if since <= at <= until), until]
    return max(after - before for before, after in pairwise(marks))


async def _inject(replica_set: ReplicaSet, fault: str, port: int) -> None:
    if fault == "step_down":
        await replica_set.step_down(port)
    elif fault == "kill":
        replica_set.kill(port)
    else:
        replica_set.freeze(port)


SCENARIO = Scenario(
    failover,
    "the primary of a replica set steps down, is killed, is suspended",
    SIZE,
    42,
    rounds=2,
)
