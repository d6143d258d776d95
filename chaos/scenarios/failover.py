"""The primary of a replica set steps down, is killed and is suspended, under gifts."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from itertools import pairwise

from chaos.fleet import RunSize
from chaos.replica_set import command
from chaos.report import RunReport
from chaos.run import Run
from chaos.scenario import Scenario, under_load

BEFORE_SECONDS, OBSERVED_SECONDS = 4.0, 14.0
GOALS = {"step_down": 2.0, "kill": 6.0, "freeze": 10.0}
"""Seconds without an acknowledged change, by fault."""
STEP_DOWN_SECONDS = 10
"""The member is no candidate for so long."""
SIZE = RunSize(clients=40, rooms=4, processes=2, pause=0.3, proxied=False, replicated=True)


async def failover(
    run: Run,
    report: RunReport,
    seconds: float,
    goals: Mapping[str, float] = GOALS,
    observed: tuple[float, float] = (BEFORE_SECONDS, OBSERVED_SECONDS),
) -> None:
    """`seconds` is divided among the faults; each is repeated for that long.

    `observed`: seconds before and after each fault.
    """
    gaps: dict[str, list[float]] = {fault: [] for fault in goals}
    elected: list[bool] = []
    for _ in range(max(1, round(seconds / (len(goals) * observed[1])))):
        for fault, found in gaps.items():
            gap, is_new = await _fail_over(run, fault, *observed)
            found.append(round(gap, 2))
            elected.append(is_new)
    report.metrics |= {
        "new_primaries": sum(elected),
        "recoveries": sum(gap < observed[1] for found in gaps.values() for gap in found),
        "seconds_without_change": gaps,
        **{f"{fault}_longest": max(found) for fault, found in gaps.items()},
    }
    report.require("new_primaries", len(elected), at_least=True)
    report.require("recoveries", len(elected), at_least=True)
    for fault, limit in goals.items():
        report.require(f"{fault}_longest", limit)


async def _fail_over(run: Run, fault: str, before: float, after: float) -> tuple[float, bool]:
    """Seconds without an acknowledged change, and whether another member is the primary."""
    replica_set = run.fleet.mongodb
    await asyncio.sleep(before)
    port, since = await replica_set.primary(), time.time()
    member = replica_set.members[port]
    match fault:
        case "step_down":  # as for maintenance
            await command(port, "replSetStepDown", STEP_DOWN_SECONDS)
        case "kill":
            member.hold_down()
        case "freeze":
            member.suspend()
    await asyncio.sleep(after)
    gap = longest_gap([op.acknowledged_at for op in run.operations], since, time.time())
    is_new = await replica_set.primary() != port
    member.resume()
    member.release()
    await replica_set.wait_in_sync()
    return gap, is_new


def longest_gap(times: Iterable[float], since: float, until: float) -> float:
    """Return the longest time without any of these times between `since` and `until`."""
    marks = [since, *sorted(at for at in times if since <= at <= until), until]
    return max(after - before for before, after in pairwise(marks))


SCENARIO = Scenario(
    under_load(failover),
    "the primary of a replica set steps down, is killed, is suspended",
    SIZE,
    42,
    rounds=2,
)
