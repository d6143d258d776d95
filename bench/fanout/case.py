"""From one room to all its sockets: beside the machine's limit, and beside everybody else."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.fanout import tables
from bench.fanout.crowd import Crowd, Figures, NoCompiler, compile_all, crowd
from bench.fanout.servers import OURS, PEERS, Told, environment, ours
from bench.fanout.tables import LOOP, C, Runs
from bench.peers import Peers
from bench.report import Report

RUNS = 5
EVENTS = {1_000: 200, 10_000: 40}
"""A run's, by the number of sockets."""
OPENINGS = {1_000: 4, 10_000: 2}
"""Beside that of the crowd which is then told."""
RATES = (200, 1_000, 2_000, 2_500)
"""Events a second for a thousand people; one send a frame could tell them 200 to 350."""
BESIDE_RUNS = 3
WAYS = {OURS: "q", C: "c", LOOP: "p"}


async def run(report: Report, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "From one room to all its sockets",
        "An event of 250 bytes to everybody in a room, by one process. The crowd that listens "
        "(`bench/fanout/crowd.c`) is one thread in C on the other core; it asks for each event and "
        "sees when the last member has it. The whole server is measured, with MongoDB, presence "
        "and its regular rounds, and in the same process, over the very same sockets, what the "
        "machine can do at best. Every Python peer runs on uvloop. Our server also has its "
        "collector set as in production (`garbage.py`); so has Tornado in one of its rows, though "
        "its sockets are not set aside as they come. While events are told a peer that is not "
        "measured is stopped; our whole server is not, since it keeps a lease: it idles beside "
        "them. Where a run has fewer than 100 events, its p99 is its slowest.",
    )
    try:
        program, library = compile_all(folder)
    except NoCompiler:
        report.words("Not measured: there is no C compiler (`cc`) here.")
        return
    for people in EVENTS:
        await _measure(report, peers, uri, folder, people, (program, library))


async def _measure(
    report: Report, peers: Peers, uri: str, folder: Path, people: int, built: tuple[Path, Path]
) -> None:
    program, library = built
    servers = [await ours(uri, people, folder, library)]
    servers += [it for it in PEERS if it.needs in peers.versions]
    given = environment(peers)
    opened = await _openings(servers, people, program, given)
    quiet: Runs = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        crowds: dict[str, Crowd] = {}
        for it in servers:
            opening = crowd(people, it.command, program, *it.options, environment=given)
            crowds[it.name] = await stack.enter_async_context(opening)
            opened[it.name].append(crowds[it.name])
            print(f"  {people} listen to {it.name}", flush=True)
        for number in range(RUNS + 1):
            found = await _quiet(crowds, EVENTS[people])
            for name, figures in found.items() if number else ():  # the first one warms
                quiet[name].append(figures)
        busy = await _busy(crowds, people)
        beside = await _busy_beside(crowds) if people == 1_000 else {}
    tables.quiet(report, people, quiet, EVENTS[people])
    tables.busy(report, people, busy, beside)
    tables.sockets(report, people, opened)
    _keep(peers.modules.parents[1], people, quiet)


async def _openings(
    servers: Sequence[Told], people: int, program: Path, given: Mapping[str, str]
) -> dict[str, list[Crowd]]:
    """Everybody in turn, each time by a server that has just begun."""
    opened: dict[str, list[Crowd]] = defaultdict(list)
    for _ in range(OPENINGS[people]):
        for it in servers:
            opening = crowd(people, it.command, program, *it.options, environment=given)
            async with opening as found:
                opened[it.name].append(found)
    return opened


async def _quiet(crowds: dict[str, Crowd], events: int) -> dict[str, Figures]:
    """Everybody in turn, while those who may rest do: the whole server keeps its lease."""
    resting = {name: it for name, it in crowds.items() if name != OURS}
    for it in resting.values():
        it.rest(still=True)
    found = {name: await crowds[OURS].ask(f"quiet {events} {way}") for name, way in WAYS.items()}
    for name, it in resting.items():
        it.rest(still=False)
        await asyncio.sleep(0.1)  # until it has seen that it was late
        found[name] = await it.ask(f"quiet {events} b")
        it.rest(still=True)
    for it in resting.values():
        it.rest(still=False)
    return found


async def _busy(crowds: dict[str, Crowd], people: int) -> Runs:
    """More and more events a second; of 10,000 people a tenth of that; and in the same turn the
    limit."""
    share, it = people // 1_000, crowds[OURS]
    for other in crowds.values():
        if other is not it:
            other.rest(still=True)
    asked = {C: f"quiet {EVENTS[people]} c"}
    for rate in (rate // share for rate in RATES):
        asked[f"{rate:,} events/s"] = f"busy {2 * rate} {rate} b"
    found: Runs = defaultdict(list)
    for number in range(RUNS + 1):
        for name, command in asked.items():
            figures = await it.ask(command)
            found[name] += [figures] if number else []
    return found


async def _busy_beside(crowds: dict[str, Crowd]) -> Runs:
    """The others, with as many events as they are likely to bear or a little more."""
    found: Runs = defaultdict(list)
    for _ in range(BESIDE_RUNS):
        for name, it in crowds.items():
            if name != OURS:
                it.rest(still=False)
                found[name].append(await it.ask(f"busy {RATES[0]} {RATES[0]} b"))
                it.rest(still=True)
    return found


def _keep(folder: Path, people: int, quiet: Runs) -> None:
    """All that was seen, for whoever doubts."""
    rows = {name: [asdict(it) for it in runs] for name, runs in quiet.items()}
    (folder / f"fanout-{people}.json").write_text(json.dumps(rows, indent=1))
