"""A tenth of the clients stop reading: they are closed, and the others are not affected."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

from chaos.actors import MIC_CANDIDATES
from chaos.invariants import check_invariants
from chaos.metrics import percentile
from chaos.procfs import TcpConnections, cpu_ticks, resident_bytes
from chaos.report import RunReport, in_ms, make_report, rounded
from chaos.run import Run, RunSize, started_run
from chaos.scenario import RunConfig, Scenario
from chaos.stalled_reader import CLOSE_SECONDS, StalledReader

QUICK_PHASES, PHASES = 3, 5
"""Pairs of phases, without and with stalled readers in turn, so that drift affects both alike."""
SHARE = 10
MEASURED = 5
"""One client in MEASURED is measured."""
MEMORY_MIB, RATIO, EVENTS_PER_SECOND = 64.0, 1.10, 100.0
PERCENTILES = {"p50": 0.5, "p99": 0.99}
MIB = 1024 * 1024
FACE = "https://faces.example.com/".ljust(500, "x")
NO_RELAY = {"QLIVE_IM__RELAY": "false"}
"""No user is on Tencent IM, which the servers themselves would have to simulate: a machine at its
limit measures nothing. For the same reason only the mic actors run: a gift or a new nickname takes
14 ms of CPU in all, taking or leaving the mic 7 ms."""
QUICK = RunSize(
    clients=200,
    rooms=2,
    processes=2,
    pause=0.15,
    proxied=False,
    gifts_and_renames=False,
    rejoins=False,
    settings=NO_RELAY,
)
FULL = replace(QUICK, clients=1_000, rooms=10, pause=0.17)


async def stalled(config: RunConfig) -> RunReport:
    """`config.seconds`: the length of each phase."""
    large = config.size.clients >= FULL.clients
    async with started_run(config.folder, config.size, config.seed) as run:
        started = time.monotonic()
        connections = TcpConnections()
        readers = await _create_readers(run, connections)
        await _enlarge_events(run)
        for client in run.clients[::MEASURED]:
            client.measured = True
        run.start_load()
        await asyncio.sleep(config.seconds / 2)  # warm-up
        without, with_ = _PhaseStats(), _PhaseStats()
        async with _meanwhile(connections.watch()):
            for _ in range(PHASES if large else QUICK_PHASES):
                await without.measure(run, config.seconds)
                async with _meanwhile(*(reader.stall() for reader in readers)):
                    await with_.measure(run, config.seconds)
        await asyncio.gather(*(reader.leave() for reader in readers))
        await run.settle()
        await check_invariants(run)
        report = _report(run, readers, without, with_, time.monotonic() - started)
        if large:
            report.require("with_events_per_second", EVENTS_PER_SECOND, at_least=True)
        return report


class _PhaseStats:
    """Measurements of all phases without, or all phases with, stalled readers."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        """Peak of each phase."""
        self.delays: list[float] = []
        self.p99s: list[float] = []
        """p99 of each phase."""
        self.events = self.seconds = 0.0
        self.busy: list[float] = []
        """CPU utilization of all cores; near 1, latencies mean little."""

    async def measure(self, run: Run, seconds: float) -> None:
        started, events, before = time.time(), _event_count(run), cpu_ticks()
        self.memory.append(0)
        while time.time() - started < seconds:
            await asyncio.sleep(0.5)
            self.memory[-1] = max(self.memory[-1], _server_memory(run))
        delays = [delay for at, delay in run.metrics.delays if at >= started]
        self.delays += delays
        self.p99s.append(percentile(delays, 0.99) or 0.0)
        self.events += _event_count(run) - events
        self.seconds += time.time() - started
        busy, total = (now - then for now, then in zip(cpu_ticks(), before, strict=True))
        self.busy.append(busy / total)

    def metrics(self, name: str) -> dict[str, Any]:
        delays = {f"{name}_ms_{p}": percentile(self.delays, q) for p, q in PERCENTILES.items()}
        return {
            **{key: in_ms(value) for key, value in delays.items()},
            f"{name}_events_per_second": rounded(self.events / self.seconds),
            f"{name}_busy": rounded(max(self.busy)),
            f"{name}_memory_mib": [round(peak / MIB, 1) for peak in self.memory],
        }


@contextlib.asynccontextmanager
async def _meanwhile(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _enlarge_events(run: Run) -> None:
    """Set long avatar URLs: events of 0.8 KB fill the kernel's buffers sooner."""
    for room in run.rooms:
        for guest in room.guests[: 2 * MIC_CANDIDATES]:
            await guest.post("qlive_user/update_userinfo/", face_url=FACE)


async def _create_readers(run: Run, connections: TcpConnections) -> list[StalledReader]:
    """Create additional users, a tenth as many as there are clients."""
    readers = []
    for n in range(len(run.clients) // SHARE):
        room = run.rooms[n % len(run.rooms)]
        user = await run.create_guest(f"stalled{n}", 1, room.live_id)
        rng = run.rng(user.name)
        readers.append(StalledReader(run.fleet, user, connections, rng))
    return readers


def _report(
    run: Run,
    readers: list[StalledReader],
    without: _PhaseStats,
    with_: _PhaseStats,
    seconds: float,
) -> RunReport:
    close_delays = [seconds for reader in readers for seconds in reader.close_delays]
    stalls = [seconds for reader in readers for seconds in reader.stalls]
    ratios = [b / a for a, b in zip(without.p99s, with_.p99s, strict=True) if a]
    report = make_report(
        run,
        "stalled",
        seconds,
        stalled=len(readers),
        closed=len(close_delays),
        never_closed=sum(reader.never_closed for reader in readers),
        stalled_for_p50=rounded(percentile(stalls, 0.5)),
        stalled_for_max=rounded(percentile(stalls, 1)),
        closed_after_p50=rounded(percentile(close_delays, 0.5)),
        closed_after_max=rounded(percentile(close_delays, 1)),
        **without.metrics("without"),
        **with_.metrics("with"),
        p99_ratio=rounded(statistics.median(ratios)),
        p99_ratios=[round(ratio, 2) for ratio in ratios],
        # Relative to the first phase, before any stall: memory that stalled readers leave counts.
        memory_growth_mib=round((max(with_.memory) - without.memory[0]) / MIB, 1),
    )
    report.require("closed", len(readers), at_least=True)
    report.require("never_closed", 0)
    report.require("closed_after_max", CLOSE_SECONDS)
    report.require("p99_ratio", RATIO)
    report.require("memory_growth_mib", MEMORY_MIB)
    report.require("silence_timeouts", 0)
    return report


def _event_count(run: Run) -> int:
    return sum(len(timeline.events) for timeline in run.timelines.by_session.values())


def _server_memory(run: Run) -> int:
    """Resident bytes of all servers."""
    return sum(resident_bytes(node.program.pid or 0) for node in run.fleet.nodes)


SCENARIO = Scenario(
    stalled, "a tenth of the clients stop reading", (QUICK, 30), (FULL, 40), rounds=2 * PHASES + 1
)
