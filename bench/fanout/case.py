"""Fan-out from one room, compared with peers and the machine's limit."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.fanout import tables
from bench.fanout.crowd import (
    CompilerMissing,
    ListenerCrowd,
    RunFigures,
    compile_programs,
    connected_crowd,
)
from bench.fanout.servers import (
    PEER_SERVERS,
    QLIVE,
    MeasuredServer,
    environment,
    qlive_server,
)
from bench.fanout.tables import C_LOOP, PYTHON_LOOP, FanoutRuns
from bench.peers import Peers
from bench.report import BenchmarkReport

RUNS = 5
EVENTS = {1_000: 200, 10_000: 30}
"""Events in a run of QLive and of the limit, by number of sockets."""
PEER_SECONDS, PEER_EVENTS = 1.2, 3
"""Target seconds and minimum events of a peer's run; at most it has QLive's number of events."""
WARM_UP_DIVISOR = 10
"""The warm-up has 1/WARM_UP_DIVISOR of the events of a run."""
OPENINGS = 2
"""Extra measurements of opening, besides that of the crowd which receives the events."""
RATES = (200, 1_000, 2_000, 2_500)
"""Events per second to 1,000 sockets; with one send per frame, 200 to 350 are possible."""
BUSY_SECONDS, PEER_BUSY_SECONDS = 1.0, 0.5
PEER_BUSY_RUNS = 3
SEND_MODES = {QLIVE: "q", C_LOOP: "c", PYTHON_LOOP: "p"}
"""Control byte of each measurement in the QLive process; see peers/qlive.py."""


async def run(report: BenchmarkReport, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "Fan-out from one room",
        "One process sends an event of 250 bytes to every socket in a room. The sockets belong to "
        "`bench/fanout/crowd.c`, one thread in C on the other core, which requests each event and "
        "records when the last socket has received it. QLive is the full server with MongoDB, "
        "presence and periodic jobs; the limit is measured in the same process, over the same "
        "sockets. All Python peers run on uvloop. QLive has the garbage-collector settings of "
        "production (`runtime/gc_tuning.py`); one of the Tornado rows has them too, but does not "
        "freeze its sockets as they connect. While events are sent, peers that are not measured "
        "are paused; QLive is not, since it renews a lease, and idles meanwhile. Slow peers have "
        "fewer events per run; with fewer than 100, p99 is the maximum.",
    )
    try:
        program, library = compile_programs(folder)
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    for sockets in EVENTS:
        with report.timed(f"fanout: {sockets:,} sockets"):
            await _measure(report, peers, uri, sockets, (program, library))


async def _measure(
    report: BenchmarkReport, peers: Peers, uri: str, sockets: int, binaries: tuple[Path, Path]
) -> None:
    program, library = binaries
    servers = [await qlive_server(uri, f"bench_fanout_{sockets}", sockets, library)]
    servers += [server for server in PEER_SERVERS if server.requires in peers.versions]
    env = environment(peers)
    with report.timed(f"fanout: {sockets:,} sockets, {OPENINGS} openings"):
        opened = await _openings(servers, sockets, program, env)
    async with contextlib.AsyncExitStack() as stack:
        crowds: dict[str, ListenerCrowd] = {}
        for server in servers:
            connecting = connected_crowd(
                sockets, server.command, program, *server.options, environment=env
            )
            crowds[server.name] = await stack.enter_async_context(connecting)
            opened[server.name].append(crowds[server.name])
            print(f"  {sockets:,} sockets connected to {server.name}", flush=True)
        with report.timed(f"fanout: {sockets:,} sockets, quiet"):
            quiet = await _quiet(crowds, EVENTS[sockets])
        with report.timed(f"fanout: {sockets:,} sockets, busy"):
            busy = await _busy(crowds, sockets)
            peers_busy = await _busy_peers(crowds) if sockets == 1_000 else {}
    tables.report_quiet(report, sockets, quiet)
    tables.report_busy(report, sockets, busy, peers_busy)
    tables.report_sockets(report, sockets, opened)
    _save_raw_figures(peers.package_json.parents[1], sockets, quiet)


async def _openings(
    servers: Sequence[MeasuredServer], sockets: int, program: Path, env: Mapping[str, str]
) -> dict[str, list[ListenerCrowd]]:
    """Connect the crowd to each server in turn, each time in a new process."""
    opened: dict[str, list[ListenerCrowd]] = defaultdict(list)
    for _ in range(OPENINGS):
        for server in servers:
            connecting = connected_crowd(
                sockets, server.command, program, *server.options, environment=env
            )
            async with connecting as crowd:
                opened[server.name].append(crowd)
    return opened


async def _quiet(crowds: dict[str, ListenerCrowd], max_events: int) -> FanoutRuns:
    """Measure all servers after a warm-up; `max_events` are the events of a QLive run."""
    names = [*crowds, *SEND_MODES]
    warm_up = await _quiet_run(crowds, dict.fromkeys(names, max_events // WARM_UP_DIVISOR))
    events = {name: _affordable_events(figures, max_events) for name, figures in warm_up.items()}
    events |= dict.fromkeys(SEND_MODES, max_events)
    runs: FanoutRuns = defaultdict(list)
    for _ in range(RUNS):
        for name, figures in (await _quiet_run(crowds, events)).items():
            runs[name].append(figures)
    return runs


def _affordable_events(warm_up: RunFigures, max_events: int) -> int:
    """Number of events in a peer's run, derived from its fastest warm-up event."""
    affordable = int(PEER_SECONDS * 1000 / min(warm_up.latencies_ms))
    return min(max_events, max(PEER_EVENTS, affordable))


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


async def _busy(crowds: dict[str, ListenerCrowd], sockets: int) -> FanoutRuns:
    """Measure QLive at increasing rates, and the limit in the same round.

    With 10,000 sockets the rates are a tenth of RATES.
    """
    divisor, qlive = sockets // 1_000, crowds[QLIVE]
    for peer in crowds.values():
        if peer is not qlive:
            peer.pause()
    commands = {C_LOOP: f"quiet {EVENTS[sockets] // 2} c"}
    for rate in (rate // divisor for rate in RATES):
        commands[f"{rate:,} events/s"] = f"busy {round(BUSY_SECONDS * rate)} {rate} b"
    runs: FanoutRuns = defaultdict(list)
    await qlive.run(commands[f"{RATES[0] // divisor:,} events/s"])  # warm-up
    for _ in range(RUNS):
        for name, command in commands.items():
            runs[name].append(await qlive.run(command))
    return runs


async def _busy_peers(crowds: dict[str, ListenerCrowd]) -> FanoutRuns:
    """Measure the peers at RATES[0], which is near or above what they can sustain."""
    runs: FanoutRuns = defaultdict(list)
    events = round(PEER_BUSY_SECONDS * RATES[0])
    for _ in range(PEER_BUSY_RUNS):
        for name, peer in crowds.items():
            if name != QLIVE:
                peer.resume()
                runs[name].append(await peer.run(f"busy {events} {RATES[0]} b"))
                peer.pause()
    return runs


def _save_raw_figures(folder: Path, sockets: int, quiet: FanoutRuns) -> None:
    """Store the raw figures as JSON, to check the tables against."""
    rows = {name: [asdict(figures) for figures in runs] for name, runs in quiet.items()}
    (folder / f"fanout-{sockets}.json").write_text(json.dumps(rows, indent=1))
