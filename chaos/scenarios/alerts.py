"""Outages that only several real processes can have fire their alerts and no others.

The other alerts fire in tests/deploy/test_alerts.py, on the metrics of one server with each fault.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chaos.alerts import AlertCheck, Scrape
from chaos.fleet import RunSize
from chaos.report import RunReport
from chaos.run import Run
from chaos.scenario import Scenario, under_load

QUIET_MINUTES = 25
"""Longer than any rule waits."""
BEFORE_MINUTES = 2
"""Recorded before each fault: a counter needs a value to rise from."""
SHOWN_SECONDS = 30.0
"""For the metrics to show a fault, or its end."""
REDIS_SECONDS = (0.2, 0.36, 0.52)
"""Delays of Redis in each direction, one after the other: in the end an event takes more than a
second. The bus takes Redis for down if none of its pings, which wait for each other, arrives for
three seconds, which a delay from one moment to the next could cause."""
STEP_SECONDS, RATE_PAUSE = 1.5, 0.2
"""Length of a step of the slow Redis; pause for an event between two scrapes of a rate."""


class AlertRun(AlertCheck):
    """The fleet, and what was recorded in the present phase."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.fleet.nodes)
        self.fleet = run.fleet

    async def wait_until(self, shown: Callable[[Scrape], bool]) -> None:
        """Scrape until the servers show it; these scrapes are not recorded."""
        async with asyncio.timeout(SHOWN_SECONDS):
            while not shown(await AlertCheck(self.fleet.nodes).scrape()):
                await asyncio.sleep(0.1)

    async def wait_for_dependency(self, name: str, value: float) -> None:
        series = f'qlive_dependency_up{{dependency="{name}"}}'
        await self.wait_until(
            lambda scrape: all(row is not None and float(row[series]) == value for row in scrape)
        )


async def kill_server(run: AlertRun, times: int, minutes: float, pause_minutes: float = 0) -> None:
    """Keep a server down for so many minutes, and as often."""
    node = run.fleet.nodes[-1]
    for _ in range(times):
        node.program.hold_down()
        await run.wait_until(lambda scrape: scrape[-1] is None)
        await run.record(minutes)
        node.program.release()
        await node.wait_ready()
        await run.record(pause_minutes)


async def kill(run: AlertRun, name: str, minutes: float) -> None:
    """Keep MongoDB or Redis down for so many minutes."""
    (mongod,) = run.fleet.mongodb.members.values()
    program = {"mongodb": mongod, "redis": run.fleet.redis}[name]
    program.hold_down()
    await run.wait_for_dependency(name, 0)
    await run.record(minutes)
    program.release()
    await run.wait_for_dependency(name, 1)


async def redis_slow(run: AlertRun) -> None:
    """Events reach the processes of other sockets late."""
    for seconds in REDIS_SECONDS:
        run.fleet.redis_proxy.delay = seconds
        await asyncio.sleep(STEP_SECONDS)
    await run.record(minutes=12, pause=RATE_PAUSE)
    await run.fleet.redis_proxy.heal()
    await asyncio.sleep(STEP_SECONDS)


@dataclass(frozen=True)
class AlertFault:
    """A fault, in the words of docs/operations.md, and the alert that it fires."""

    alert: str
    description: str
    inject: Callable[[AlertRun], Awaitable[None]]


FAULTS = (  # a process killed twice is back each time before QLiveDown fires
    AlertFault("QLiveDown", "a server that is down", lambda run: kill_server(run, 1, 3)),
    AlertFault("QLiveMongoDBDown", "MongoDB that is down", lambda run: kill(run, "mongodb", 3)),
    AlertFault("QLiveRedisDown", "Redis that is down", lambda run: kill(run, "redis", 4)),
    AlertFault("QLiveEventsSlow", "a slow Redis", redis_slow),
    AlertFault("QLiveRestarted", "a process killed twice", lambda run: kill_server(run, 2, 0.5, 1)),
)
SIZE = RunSize(
    clients=18,
    rooms=3,
    processes=2,
    pause=3.0,  # a server that changes a room reads the events that a slow Redis holds
    # Otherwise the checks are faster than a slow Redis.
    settings={"QLIVE_REALTIME__CHECK_SECONDS": "5"},
)


async def alerts(run: Run, report: RunReport, _seconds: float) -> None:
    """One phase for each fault, and a quiet one before and after."""
    found = {"quiet": await _quiet(run)}
    for fault in FAULTS:
        phase = AlertRun(run)
        await phase.wait_for_dependency("redis", 1)
        await phase.record(BEFORE_MINUTES)
        await fault.inject(phase)
        found[fault.description] = await phase.fired()
    found["quiet again"] = await _quiet(run)
    expected = {fault.description: {fault.alert} for fault in FAULTS}
    others = {
        name: sorted(fired) for name, fired in found.items() if fired != expected.get(name, set())
    }
    report.metrics |= {"phases_with_other_alerts": len(others), "other_alerts": others}
    report.require("phases_with_other_alerts", 0)


async def _quiet(run: Run) -> set[str]:
    phase = AlertRun(run)
    await phase.wait_for_dependency("redis", 1)
    await phase.record(QUIET_MINUTES)
    return await phase.fired()


SCENARIO = Scenario(
    under_load(alerts, quiet=1),
    "each outage fires its alert and no other, a quiet evening none",
    SIZE,
    0,
    alerts=tuple(fault.alert for fault in FAULTS),
)
