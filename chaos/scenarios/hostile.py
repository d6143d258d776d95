"""Five accounts flood every kind of request: the other users are not affected."""

import asyncio
import contextlib
import itertools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from itertools import chain

from chaos.actors import GIVERS, GiftActor, mic_actors
from chaos.alerts import INTERVAL, alerts_checked, require_alerts
from chaos.api import FleetUser, from_address
from chaos.event_check import LOG_SIZE
from chaos.flood import Attacker, Flood
from chaos.invariants import check_invariants
from chaos.metrics import percentile
from chaos.report import RunReport, in_ms, make_report, rounded
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.seated_guest import seat_guest, seconds_until
from config.sections import LimitsSettings
from tests.support.no_limits import NO_LIMITS, limits_environment

ALERTS = ("QLiveFlood",)
ATTACKERS = 5
PHASES = 3
"""Pairs of phases, without and with the flood in turn, so that drift affects both alike."""
PHASE_SECONDS = 60
PAUSE, GIFT_PAUSE = 3.0, 1.0
"""Of normal users; their 99th percentile needs a few thousand requests, and a host may not meet her
limit of changes."""
PUT_OUT_EVERY_SECONDS = 6.0
CSS_SECONDS = 0.15
"""Latency of the simulated CSS."""
SCRAPE_SECONDS = float(INTERVAL)
"""As in production: the rule is about a rate."""
RATIO, STREAM_SECONDS, TURNOVER_SECONDS = 1.3, 2.0, 60.0
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
    gifts_and_renames=False,
    rejoins=False,
    settings=DEFAULT_LIMITS,
)


async def hostile(config: RunConfig) -> RunReport:
    """`config.seconds`: the length of each phase."""
    async with (
        started_run(config.folder, config.size, config.seed) as run,
        alerts_checked(run.fleet, SCRAPE_SECONDS) as alerts,
    ):
        started = time.monotonic()
        attackers = [await _attacker(run, n) for n in range(ATTACKERS)]
        run.fleet.tencent.simulator.outage["live"] = CSS_SECONDS
        _start_load(run)
        await asyncio.sleep(config.seconds / 2)  # warm-up
        without: list[list[float]] = []
        with_: list[list[float]] = []
        cuts: list[float] = []
        floods: list[dict[str, Counter[str]]] = []
        for number in range(PHASES):
            async with _removals(run, cuts, f"quiet{number}"):
                without.append(await _latencies(run, config.seconds))
            async with _removals(run, cuts, f"flood{number}"):
                flood = asyncio.create_task(_flood(run, attackers, config.seconds))
                with_.append(await _latencies(run, config.seconds))
                floods.append(await flood)
        for attacker in attackers:
            await attacker.get("qlive_room/leave_room/", live_id=attacker.live_id)
        await run.settle()
        await check_invariants(run)
        report = _report(run, without, with_, cuts, floods, time.monotonic() - started)
        await require_alerts(report, alerts, *ALERTS)
        return report


async def _attacker(run: Run, number: int) -> FleetUser:
    """A member of the first room, without gold."""
    return await run.create_guest(f"attacker{number}", 1, run.rooms[0].live_id)


def _start_load(run: Run) -> None:
    """Gifts in all rooms; guests on mic where neither attackers nor removals take the seats."""
    actors = [
        GiftActor(room, giver, GIFT_PAUSE).run()
        for room in run.rooms
        for giver in room.guests[-GIVERS:]
    ]
    for room in run.rooms[1:-1]:
        actors += mic_actors(room, run.size.pause)
    run.actors += map(asyncio.ensure_future, actors)


async def _latencies(run: Run, seconds: float) -> list[float]:
    """Seconds until the response of every request that began within `seconds` from now."""
    first = time.time()
    await asyncio.sleep(seconds)
    return [took for at, took in run.metrics.answers if at >= first]


async def _flood(run: Run, attackers: list[FleetUser], seconds: float) -> dict[str, Counter[str]]:
    """Run the program that floods; returns its responses by kind and status."""
    room = run.rooms[0]
    flood = Flood(
        [node.server_port for node in run.fleet.nodes],
        [Attacker(user.token, from_address(user.name)["X-Forwarded-For"]) for user in attackers],
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


@contextlib.asynccontextmanager
async def _removals(run: Run, cuts: list[float], phase: str) -> AsyncIterator[None]:
    """Meanwhile the last room's host puts guests out; adds the seconds until each is cut off."""
    over = asyncio.Event()

    async def put_out() -> None:
        for number in itertools.count():
            cuts.append(await _put_out(run, f"{phase}-{number}"))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), PUT_OUT_EVERY_SECONDS)
                return

    task = asyncio.create_task(put_out())
    try:
        yield
    finally:
        over.set()
        await task


async def _put_out(run: Run, name: str) -> float:
    """Put a new guest out of the last room; the seconds until their stream is cut."""
    room, dropped = run.rooms[-1], run.fleet.tencent.simulator.live.dropped
    guest, stream = await seat_guest(run, name, room.live_id)
    removal = {"live_id": room.live_id, "user_id": guest.id, "minutes": 60}
    await room.host.post("qlive_room/put_out/", **removal)
    return await seconds_until(lambda: stream in dropped)


def _report(
    run: Run,
    without: list[list[float]],
    with_: list[list[float]],
    cuts: list[float],
    floods: list[dict[str, Counter[str]]],
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
        streams_cut=len(cuts),
        stream_cut_after_max=rounded(max(cuts, default=None)),
        log_turnover_seconds=rounded(_turnover(run)),
        flood={kind: dict(statuses) for kind, statuses in _totals(floods).items()},
        relay_resets=sum(_relay_resets(run)),
    )
    report.require("p99_ratio", RATIO)
    report.require("streams_cut", PHASES, at_least=True)
    report.require("stream_cut_after_max", STREAM_SECONDS)
    report.require("log_turnover_seconds", TURNOVER_SECONDS, at_least=True)
    report.require("relay_resets", 0)
    report.require("lost", 0)
    return report


def _p99(seconds: list[float]) -> float:
    return percentile(seconds, 0.99) or 0.0


def _turnover(run: Run) -> float:
    """Shortest time in seconds within which a room's log was replaced as a whole."""
    timelines = run.timelines.by_session.values()
    return min(turnover(event["ts"] for event in line.events.values()) for line in timelines)


def turnover(timestamps: Iterable[int], size: int = LOG_SIZE) -> float:
    """Shortest time in seconds in which `size` events follow an event; timestamps are in ms.

    Infinite if there are too few.
    """
    times = sorted(timestamps)
    spans = (later - first for first, later in zip(times, times[size:], strict=False))
    return min(spans, default=math.inf) / 1000


def _totals(floods: list[dict[str, Counter[str]]]) -> dict[str, Counter[str]]:
    totals: dict[str, Counter[str]] = {}
    for flood in floods:
        for kind, statuses in flood.items():
            totals.setdefault(kind, Counter()).update(statuses)
    return totals


def _relay_resets(run: Run) -> list[int]:
    """Number of times that IM's listeners lost events, for each server."""
    return [node.program.log.read_text().count('"relay_reset"') for node in run.fleet.nodes]


SCENARIO = Scenario(
    hostile,
    "five accounts flood every kind of request, as fast as nginx passes",
    SIZE,
    PHASE_SECONDS,
    rounds=2 * PHASES + 1,
    alerts=ALERTS,
)
