"""Five accounts flood every kind of request: the other users are not affected."""

import asyncio
import contextlib
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

from chaos.alerts import alerts_checked, require_alerts
from chaos.fleet import RunSize
from chaos.flood import NICE, Flood, Responses, run_flood
from chaos.load import gift_actors, mic_actors
from chaos.report import RunReport, in_ms, percentile, rounded
from chaos.run import Run
from chaos.scenario import Scenario, under_load
from config.sections import LimitsSettings
from tests.support.nginx import Nginx
from tests.support.no_limits import NO_LIMITS, limits_environment
from tests.support.promtool import INTERVAL

ALERTS = ("QLiveFlood",)
ATTACKERS = 5
PHASES = 3
"""Pairs of phases, without and with the flood in turn, so that drift affects both alike."""
PHASE_SECONDS = 60
PAUSE, GIFT_PAUSE = 3.0, 1.0
"""Pauses of normal users; their 99th percentile needs a few thousand requests, and a host may not
meet her limit of changes."""
SCRAPE_SECONDS = float(INTERVAL)
"""As in production: the rule is about a rate."""
RATIO = 1.3
"""Most that the 99th percentile of the latencies may grow."""
LIMITS = LimitsSettings()
DEFAULT_LIMITS = limits_environment(
    {
        name: f"{rate.per_second:g}/{rate.burst}"
        for name in NO_LIMITS
        if (rate := getattr(LIMITS, name))
    }
    | {"handshakes_per_second": str(LIMITS.handshakes_per_second)}
)
"""Other scenarios turn the limits off."""
SIZE = RunSize(
    clients=300,
    rooms=10,
    processes=1,
    pause=PAUSE,
    proxied=False,
    gifts=False,
    settings=DEFAULT_LIMITS,
)


async def hostile(run: Run, report: RunReport, seconds: float) -> None:
    """`seconds`: the length of each phase."""
    room, fleet = run.rooms[0], run.fleet
    loop, pool = asyncio.get_running_loop(), _flood_process()
    async with nginx(run) as port, alerts_checked(fleet.nodes, SCRAPE_SECONDS) as alerts:
        attackers = [
            await run.create_guest(f"attacker{n}", 1, room.live_id) for n in range(ATTACKERS)
        ]
        app_id = (await fleet.tencent.login("attacker0", 1))["appId"]
        tokens = [attacker.token for attacker in attackers]
        flood = Flood(port, tokens, room.live_id, room.host.id, app_id, seconds)
        _start_load(run)
        await loop.run_in_executor(pool, os.getpid)  # starts the process
        await asyncio.sleep(seconds / 2)  # warm-up
        without, during = list[list[float]](), list[list[float]]()
        responses: Responses = {}
        for _ in range(PHASES):
            without.append(await _latencies(run, seconds))
            flooding = loop.run_in_executor(pool, run_flood, flood)
            during.append(await _latencies(run, seconds))
            for kind, statuses in (await flooding).items():
                responses.setdefault(kind, Counter()).update(statuses)
        pool.shutdown()
        for attacker in attackers:
            await attacker.get("qlive_room/leave_room/", live_id=room.live_id)
        await require_alerts(report, alerts, *ALERTS)
    quiet, flooded = _p99(chain(*without)), _p99(chain(*during))
    pairs = zip(without, during, strict=True)
    report.metrics |= {
        "answers_without": sum(map(len, without)),
        "answers_with": sum(map(len, during)),
        "without_ms_p99": in_ms(quiet),
        "with_ms_p99": in_ms(flooded),
        "p99_ratio": rounded(flooded / quiet),
        "p99_ratios": [rounded(_p99(later) / _p99(earlier)) for earlier, later in pairs],
        "flood": responses,
    }
    report.require("p99_ratio", RATIO)
    report.require("lost", 0)


@contextlib.asynccontextmanager
async def nginx(run: Run) -> AsyncIterator[int]:
    """The port of nginx with the limits of deploy/, in front of the server."""
    folder, server = run.fleet.folder / "nginx", run.fleet.nodes[0].port
    folder.mkdir()
    program = Nginx(folder, server, server)
    await asyncio.to_thread(program.start)
    try:
        yield program.port
    finally:
        program.stop()


def _start_load(run: Run) -> None:
    """Gifts in all rooms; guests on mic where the attackers do not take the seats."""
    actors = [actor for room in run.rooms for actor in gift_actors(room, GIFT_PAUSE)]
    for room in run.rooms[1:]:
        actors += mic_actors(room, run.size.pause)
    run.actors += map(asyncio.ensure_future, actors)


async def _latencies(run: Run, seconds: float) -> list[float]:
    """Seconds until the response of every request that began within `seconds` from now."""
    first = time.time()
    await asyncio.sleep(seconds)
    return [took for at, took in run.metrics.answers if at >= first]


def _flood_process() -> ProcessPoolExecutor:
    """A process of its own: its load must not be that of the clients that are measured."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawn, initializer=os.nice, initargs=(NICE,))


def _p99(seconds: Iterable[float]) -> float:
    return percentile([*seconds], 0.99) or 0.0


SCENARIO = Scenario(
    under_load(hostile, quiet=SIZE.rooms),
    "five accounts flood every kind of request, through nginx",
    SIZE,
    PHASE_SECONDS,
    rounds=2 * PHASES + 1,
    alerts=ALERTS,
)
