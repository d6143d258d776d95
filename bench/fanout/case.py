"""Fan-out from one room to all its sockets, beside the machine's limit and the peers."""

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
EVENTS = {1_000: 200, 10_000: 30}
"""Those of a run of ours and of the limit, by the number of sockets."""
PEER_SECONDS, PEER_EVENTS = 1.2, 3
"""A peer's run takes about so long, and has at least so many events and at most ours."""
WARM_SHARE = 10
"""One event in so many is enough to warm."""
OPENINGS = 2
"""Beside that of the crowd which then receives events."""
RATES = (200, 1_000, 2_000, 2_500)
"""Events a second for a thousand people; one send a frame could tell them 200 to 350."""
BUSY_SECONDS, BESIDE_SECONDS = 1.0, 0.5
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
        "them. A slow peer has fewer events in a run; where these are fewer than 100, p99 is the "
        "slowest.",
    )
    try:
        program, library = compile_all(folder)
    except NoCompiler:
        report.words("Not measured: there is no C compiler (`cc`) here.")
        return
    for people in EVENTS:
        with report.timed(f"fanout: {people:,} sockets"):
            await _measure(report, peers, uri, people, (program, library))


async def _measure(
    report: Report, peers: Peers, uri: str, people: int, built: tuple[Path, Path]
) -> None:
    program, library = built
    servers = [await ours(uri, f"bench_fanout_{people}", people, library)]
    servers += [it for it in PEERS if it.needs in peers.versions]
    given = environment(peers)
    with report.timed(f"fanout: {people:,} sockets, {OPENINGS} openings"):
        opened = await _openings(servers, people, program, given)
    async with contextlib.AsyncExitStack() as stack:
        crowds: dict[str, Crowd] = {}
        for it in servers:
            opening = crowd(people, it.command, program, *it.options, environment=given)
            crowds[it.name] = await stack.enter_async_context(opening)
            opened[it.name].append(crowds[it.name])
            print(f"  {people} listen to {it.name}", flush=True)
        with report.timed(f"fanout: {people:,} sockets, quiet"):
            quiet = await _quiet(crowds, EVENTS[people])
        with report.timed(f"fanout: {people:,} sockets, busy"):
            busy = await _busy(crowds, people)
            beside = await _busy_beside(crowds) if people == 1_000 else {}
    tables.quiet(report, people, quiet)
    tables.busy(report, people, busy, beside)
    tables.sockets(report, people, opened)
    _keep(peers.modules.parents[1], people, quiet)


async def _openings(
    servers: Sequence[Told], people: int, program: Path, given: Mapping[str, str]
) -> dict[str, list[Crowd]]:
    """Everybody in turn, each time by a server that has just begun."""
    opened: dict[str, list[Crowd]] = defaultdict(list)
    for _ in range(OPENINGS):
        for it in servers:
            opening = crowd(people, it.command, program, *it.options, environment=given)
            async with opening as found:
                opened[it.name].append(found)
    return opened


async def _quiet(crowds: dict[str, Crowd], most: int) -> Runs:
    """`most` is the number of events of a run of ours."""
    warm = await _quiet_turn(crowds, dict.fromkeys([*crowds, *WAYS], most // WARM_SHARE))
    events = {name: _events(figures, most) for name, figures in warm.items()}
    events |= dict.fromkeys(WAYS, most)
    found: Runs = defaultdict(list)
    for _ in range(RUNS):
        for name, figures in (await _quiet_turn(crowds, events)).items():
            found[name].append(figures)
    return found


def _events(warm: Figures, most: int) -> int:
    """How many events a peer's run has, from how long one of its first took."""
    in_time = int(PEER_SECONDS * 1000 / min(warm.waits))
    return min(most, max(PEER_EVENTS, in_time))


async def _quiet_turn(crowds: dict[str, Crowd], events: Mapping[str, int]) -> dict[str, Figures]:
    """Each server in turn, with the peers stopped meanwhile; the whole server keeps its lease."""
    resting = {name: it for name, it in crowds.items() if name != OURS}
    for it in resting.values():
        it.rest(still=True)
    it = crowds[OURS]
    found = {name: await it.ask(f"quiet {events[name]} {way}") for name, way in WAYS.items()}
    for name, it in resting.items():
        it.rest(still=False)
        await asyncio.sleep(0.1)  # until it has seen that it was late
        found[name] = await it.ask(f"quiet {events[name]} b")
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
    asked = {C: f"quiet {EVENTS[people] // 2} c"}
    for rate in (rate // share for rate in RATES):
        asked[f"{rate:,} events/s"] = f"busy {round(BUSY_SECONDS * rate)} {rate} b"
    found: Runs = defaultdict(list)
    await it.ask(asked[f"{RATES[0] // share:,} events/s"])  # warm
    for _ in range(RUNS):
        for name, command in asked.items():
            found[name].append(await it.ask(command))
    return found


async def _busy_beside(crowds: dict[str, Crowd]) -> Runs:
    """The others, with as many events as they are likely to bear or a little more."""
    found: Runs = defaultdict(list)
    for _ in range(BESIDE_RUNS):
        for name, it in crowds.items():
            if name != OURS:
                it.rest(still=False)
                events = round(BESIDE_SECONDS * RATES[0])
                found[name].append(await it.ask(f"busy {events} {RATES[0]} b"))
                it.rest(still=True)
    return found


def _keep(folder: Path, people: int, quiet: Runs) -> None:
    """All that was seen, for whoever doubts."""
    rows = {name: [asdict(it) for it in runs] for name, runs in quiet.items()}
    (folder / f"fanout-{people}.json").write_text(json.dumps(rows, indent=1))
