"""Fan-out from one room, compared with peers and the machine's limit."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.benchmark import Benchmark
from bench.checkout import Checkout
from bench.fanout import tables
from bench.fanout.control import EVENT
from bench.fanout.crowd import ListenerCrowd, RunFigures, compile_programs, connected_crowd
from bench.fanout.servers import PEER_SERVERS, QLIVE, qlive_server
from bench.fanout.tables import C_LOOP, PYTHON_LOOP, FanoutRuns

DELIVERIES, LEAST_EVENTS = 200_000, 30
"""Deliveries in a run of QLive and of the limit, but at least so many events."""
PEER_SECONDS, PEER_EVENTS = 1.2, 3
"""Target seconds and minimum events of a peer's run; at most it has QLive's number of events."""
WARM_UP_DIVISOR = 10
"""The warm-up has 1/WARM_UP_DIVISOR of the events of a run."""
RATES = (200, 1_000, 2_000)
"""Events per second to 1,000 sockets; with one send per frame, 200 to 350 are possible."""
BUSY_SECONDS = 1.0
SEND_MODES = {QLIVE: "q", C_LOOP: "c", PYTHON_LOOP: "p"}
"""Control byte of each measurement in the QLive process; see peers/qlive.py."""


async def run(benchmark: Benchmark) -> None:
    benchmark.report.section(
        "Fan-out from one room",
        "One process sends an event of 250 bytes to every socket in a room. The sockets belong to "
        "`bench/fanout/crowd.c`, one thread in C on the other core, which requests each event and "
        "records when the last socket has received it. QLive is the full server with MongoDB, "
        "presence and periodic jobs; the limit is measured in the same process, over the same "
        "sockets. All Python peers run on uvloop. While events are sent, peers that are not "
        "measured are paused. Slow peers have fewer events per run; with fewer than 100, p99 is "
        "the maximum.",
    )
    binaries = compile_programs(benchmark.folder)
    for sockets in benchmark.scale.sockets:
        with benchmark.report.timed(f"fanout: {sockets:,} sockets"):
            await _measure(benchmark, sockets, *binaries)


async def _measure(benchmark: Benchmark, sockets: int, program: Path, library: Path) -> None:
    report, peers, count = benchmark.report, benchmark.peers, benchmark.scale.runs
    database = f"bench_fanout_{sockets}"
    servers = [await qlive_server(benchmark.uri, database, sockets, library, Checkout())]
    servers += [server for server in PEER_SERVERS if server.requires in peers.versions]
    of_node = {"BENCH_EVENT": EVENT, "BENCH_MODULES": str(peers.package_json)}
    async with contextlib.AsyncExitStack() as stack:
        crowds: dict[str, ListenerCrowd] = {}
        for server in servers:
            connecting = connected_crowd(server, sockets, program, variables=of_node)
            crowds[server.name] = await stack.enter_async_context(connecting)
            print(f"  {sockets:,} sockets connected to {server.name}", flush=True)
        quiet = await _quiet(crowds, events_of_a_run(sockets), count)
        busy = await _busy(crowds, sockets, count)
    tables.report_quiet(report, sockets, quiet)
    tables.report_busy(report, sockets, busy)
    tables.report_sockets(report, sockets, crowds)
    rows = {name: [asdict(figures) for figures in runs] for name, runs in quiet.items()}
    raw = peers.package_json.parents[1] / f"fanout-{sockets}.json"  # to check the tables against
    raw.write_text(json.dumps(rows, indent=1))


def events_of_a_run(sockets: int) -> int:
    return max(LEAST_EVENTS, DELIVERIES // sockets)


def busy_command(rate: int) -> str:
    """Return the command of crowd.c for a busy room."""
    return f"busy {round(BUSY_SECONDS * rate)} {rate} b"


async def _quiet(crowds: dict[str, ListenerCrowd], max_events: int, count: int) -> FanoutRuns:
    """Measure all servers after a warm-up; `max_events` are the events of a QLive run."""
    names = [*crowds, *SEND_MODES]
    warm_up = await _quiet_run(crowds, dict.fromkeys(names, max_events // WARM_UP_DIVISOR))
    events = dict.fromkeys(SEND_MODES, max_events)
    for name in crowds.keys() - events:  # by the fastest event of the warm-up
        affordable = int(PEER_SECONDS * 1000 / min(warm_up[name].latencies_ms))
        events[name] = min(max_events, max(PEER_EVENTS, affordable))
    runs: FanoutRuns = defaultdict(list)
    for _ in range(count):
        for name, figures in (await _quiet_run(crowds, events)).items():
            runs[name].append(figures)
    return runs


async def _quiet_run(
    crowds: dict[str, ListenerCrowd], events: Mapping[str, int]
) -> dict[str, RunFigures]:
    """Measure each server with the peers paused; QLive is never paused, as it renews a lease."""
    peers = {name: peer for name, peer in crowds.items() if name != QLIVE}
    for peer in peers.values():
        peer.pause()
    qlive = crowds[QLIVE]
    figures = {
        name: await qlive.run(f"quiet {events[name]} {mode}") for name, mode in SEND_MODES.items()
    }
    for name, peer in peers.items():
        peer.resume()
        await asyncio.sleep(0.1)  # its loop monitor must record the pause before `run` resets it
        figures[name] = await peer.run(f"quiet {events[name]} b")
        peer.pause()
    for peer in peers.values():
        peer.resume()
    return figures


async def _busy(crowds: dict[str, ListenerCrowd], sockets: int, count: int) -> FanoutRuns:
    """Measure QLive at increasing rates, and the limit in the same round.

    With 10,000 sockets the rates are a tenth of RATES.
    """
    divisor, qlive = max(1, sockets // 1_000), crowds[QLIVE]
    for peer in crowds.values():
        if peer is not qlive:
            peer.pause()
    commands = {C_LOOP: f"quiet {events_of_a_run(sockets) // 2} c"}
    for rate in (rate // divisor for rate in RATES):
        commands[f"{rate:,} events/s"] = busy_command(rate)
    runs: FanoutRuns = defaultdict(list)
    await qlive.run(commands[f"{RATES[0] // divisor:,} events/s"])  # warm-up
    for _ in range(count):
        for name, command in commands.items():
            runs[name].append(await qlive.run(command))
    return runs
