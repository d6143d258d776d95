"""Five accounts flood every kind of request: the other users are not affected."""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import chain

from chaos.actors import gift_actors, mic_actors
from chaos.alerts import INTERVAL, alerts_checked, require_alerts
from chaos.api import FleetUser
from chaos.flood import Attacker, Flood
from chaos.invariants import check_invariants
from chaos.metrics import percentile
from chaos.report import RunReport, in_ms, make_report, rounded
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from tests.support.nginx import Nginx
from tests.support.ports import is_open

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
USUAL_LIMITS = {"QLIVE_LIMITS__FACTOR": "1"}
"""Other scenarios turn the limits off."""
SIZE = RunSize(
    clients=300,
    rooms=10,
    processes=1,
    pause=PAUSE,
    proxied=False,
    gifts=False,
    settings=USUAL_LIMITS,
)


async def hostile(config: RunConfig) -> RunReport:
    """`config.seconds`: the length of each phase."""
    async with (
        started_run(config.folder, config.size, config.seed) as run,
        _nginx(run) as port,
        alerts_checked(run.fleet, SCRAPE_SECONDS) as alerts,
    ):
        started = time.monotonic()
        attackers = [await _attacker(run, n) for n in range(ATTACKERS)]
        _start_load(run)
        await asyncio.sleep(config.seconds / 2)  # warm-up
        without: list[list[float]] = []
        with_: list[list[float]] = []
        floods: dict[str, Counter[str]] = {}
        for _ in range(PHASES):
            without.append(await _latencies(run, config.seconds))
            flood = asyncio.create_task(_flood(run, port, attackers, config.seconds))
            with_.append(await _latencies(run, config.seconds))
            for kind, statuses in (await flood).items():
                floods.setdefault(kind, Counter()).update(statuses)
        for attacker in attackers:
            await attacker.get("qlive_room/leave_room/", live_id=attacker.live_id)
        await run.settle()
        await check_invariants(run)
        report = _report(run, without, with_, floods, time.monotonic() - started)
        await require_alerts(report, alerts, *ALERTS)
        return report


@contextlib.asynccontextmanager
async def _nginx(run: Run) -> AsyncIterator[int]:
    """The port of nginx with the limits of deploy/, in front of the server."""
    folder, server = run.fleet.folder / "nginx", run.fleet.nodes[0].server_port
    folder.mkdir()
    nginx = Nginx(folder, server, server)
    nginx.start()
    try:
        await run.wait_until(lambda: is_open(nginx.port), 10)
        yield nginx.port
    finally:
        nginx.stop()


async def _attacker(run: Run, number: int) -> FleetUser:
    """A member of the first room, without gold."""
    return await run.create_guest(f"attacker{number}", 1, run.rooms[0].live_id)


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


async def _flood(
    run: Run, port: int, attackers: list[FleetUser], seconds: float
) -> dict[str, Counter[str]]:
    """Run the program that floods; returns its responses by kind and status."""
    room = run.rooms[0]
    flood = Flood(
        port,
        [Attacker(user.token, f"127.0.1.{n}") for n, user in enumerate(attackers, 1)],
        room.live_id,
        room.host.id,
        (await run.fleet.tencent.login("attacker0", 1))["appId"],
        seconds,
    )
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos.flood"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await program.communicate(flood.to_json())
    return {kind: Counter(statuses) for kind, statuses in json.loads(out).items()}


def _report(
    run: Run,
    without: list[list[float]],
    with_: list[list[float]],
    floods: dict[str, Counter[str]],
    seconds: float,
) -> RunReport:
    pairs = [(_p99(earlier), _p99(later)) for earlier, later in zip(without, with_, strict=True)]
    quiet, flooded = _p99([*chain.from_iterable(without)]), _p99([*chain.from_iterable(with_)])
    report = make_report(
        run,
        "hostile",
        seconds,
        answers_without=sum(map(len, without)),
        answers_with=sum(map(len, with_)),
        without_ms_p99=in_ms(quiet),
        with_ms_p99=in_ms(flooded),
        p99_ratio=rounded(flooded / quiet),
        p99_ratios=[round(later / earlier, 2) for earlier, later in pairs],
        flood={kind: dict(statuses) for kind, statuses in floods.items()},
    )
    report.require("p99_ratio", RATIO)
    report.require("lost", 0)
    return report


def _p99(seconds: list[float]) -> float:
    return percentile(seconds, 0.99) or 0.0


SCENARIO = Scenario(
    hostile,
    "five accounts flood every kind of request, through nginx",
    SIZE,
    PHASE_SECONDS,
    rounds=2 * PHASES + 1,
    alerts=ALERTS,
)
