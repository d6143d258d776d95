"""From one room to all its sockets: beside the machine's limit, and beside everybody else."""

import asyncio
import contextlib
import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from bench.fanout.crowd import Crowd, Figures, NoCompiler, compile_all, crowd
from bench.fanout.servers import ALONE, OURS, PEERS, TORNADO, environment, ours
from bench.peers import Peers
from bench.picture import bars
from bench.report import Report, ratios, spread

RUNS = 5
EVENTS = {1_000: 200, 10_000: 40}
"""A run's, by the number of sockets."""
FLOOD = 2_500
"""Events a second that are more than one send a frame could tell a thousand people."""
C, LOOP = "a C loop of send(2) over our sockets: the limit", "a Python loop of `socket.send`"
WAYS = {OURS: "q", C: "c", LOOP: "p"}

Runs = dict[str, list[Figures]]


async def run(report: Report, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "From one room to all its sockets",
        "An event of 250 bytes to everybody in a room, by one process. The crowd that listens "
        "(`bench/fanout/crowd.c`) is one thread in C on the other core; it asks for each event and "
        "sees when the last member has it. The whole server is measured, with MongoDB, presence "
        "and its regular rounds, and in the same process, over the very same sockets, what the "
        "machine can do at best. Every Python peer runs on uvloop; our server also has its "
        "collector set as in production (`garbage.py`), as the others have not. Whoever is not "
        "measured is stopped.",
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
    quiet: Runs = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        crowds: dict[str, Crowd] = {}
        for it in servers:
            opening = crowd(people, it.command, program, *it.options, environment=given)
            crowds[it.name] = await stack.enter_async_context(opening)
            print(f"  {people} listen to {it.name}", flush=True)
        for number in range(RUNS + 1):
            found = await _quiet(crowds, EVENTS[people])
            for name, figures in found.items() if number else ():  # the first one warms
                quiet[name].append(figures)
        busy = await _busy(crowds, people)
        _tell_quiet(report, people, quiet)
        _tell_busy(report, people, busy)
        _tell_sockets(report, people, crowds)
        _keep(peers.modules.parents[1], people, quiet)


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
    """200 events a second, and as many as would drown one send a frame; of 10,000 a tenth; and in
    the same turn the limit."""
    share, it = people // 1_000, crowds[OURS]
    for other in crowds.values():
        if other is not it:
            other.rest(still=True)
    rates = {f"{rate // share} events/s": rate // share for rate in (200, FLOOD)}
    found: Runs = defaultdict(list)
    for number in range(RUNS + 1):
        asked = {C: f"quiet {EVENTS[people]} c"}
        asked |= {name: f"busy {2 * rate} {rate} b" for name, rate in rates.items()}
        for name, command in asked.items():
            figures = await it.ask(command)
            found[name] += [figures] if number else []
    return found


def _tell_quiet(report: Report, people: int, quiet: Runs) -> None:
    limit, ours_ = _rates(quiet[C]), _rates(quiet[OURS])
    rows = []
    for name, runs in quiet.items():
        mine = _rates(runs)
        rows.append(
            (
                name,
                spread(mine),
                spread(ratios(mine, limit), 2),
                "" if name == OURS else spread(ratios(ours_, mine), 2),
                *_waits(runs),
                spread([it.blocked_ms for it in runs], 1),
            )
        )
    report.words(
        f"### A quiet room of {people:,}: one event at a time\n\nEach event goes as in a room that "
        "was quiet before it, and the next is asked for when everybody has it. Percentiles are of "
        f"all {RUNS * EVENTS[people]:,} events."
    )
    heads = ["", "deliveries per second of one core", ": the limit", "QLive : this one", *WAITS]
    report.table([*heads, "loop blocked at most [ms]"], rows)
    beside = [_part(quiet[OURS], p) / _part(quiet[C], p) for p in (0.5, 0.99)]
    apart = sorted(it for runs in quiet[OURS] for it in runs.spreads)
    report.words(
        f"To the last member, QLive : the limit: p50 {beside[0]:.2f}, p99 {beside[1]:.2f}. Between "
        f"the first and the last member: p50 {_of(apart, 0.5):.1f} ms, p99 {_of(apart, 0.99):.1f} "
        "ms."
    )
    picture = f"fanout-{people}.svg"
    title = f"Deliveries per second of one core, {people:,} sockets"
    bars(picture, title, {name: _rates(runs) for name, runs in quiet.items()})
    report.picture(picture, f"Deliveries per second of one core at {people:,} sockets")


def _tell_busy(report: Report, people: int, busy: Runs) -> None:
    report.words(
        f"### A busy room of {people:,}\n\nWhat becomes ready within 5 ms leaves in one send, and "
        "so does all that piles up while a send is under way. The limit is that of one send a "
        "frame, measured in the same turn."
    )
    limit = _rates(busy.pop(C))
    rows = [
        (
            name,
            spread(_rates(runs)),
            spread(ratios(_rates(runs), limit), 1),
            *_waits(runs),
            spread([it.cpu / it.seconds for it in runs], 2),
            spread([it.blocked_ms for it in runs], 1),
        )
        for name, runs in busy.items()
    ]
    heads = ["", "deliveries per second of one core", ": the limit", *WAITS, "of a core"]
    report.table([*heads, "blocked at most [ms]"], rows)


def _tell_sockets(report: Report, people: int, crowds: dict[str, Crowd]) -> None:
    report.words(f"### {people:,} sockets: opening and holding them\n\nOnce each.")
    rows = [
        (
            f"{name} (token, place, room and counts from MongoDB)" if name == OURS else name,
            f"{it.people / it.opening_seconds:,.0f}",
            f"{it.people / it.opening_cpu:,.0f}",
            f"{it.idle_bytes / 1024:.1f}",
        )
        for name, it in crowds.items()
    ]
    heads = ["", "opened per second", "per second of one core", "memory of an idle one [KiB]"]
    report.table(heads, rows)
    hub, tornado = crowds[ALONE], crowds[TORNADO]
    factor = tornado.opening_cpu / hub.opening_cpu
    report.words(f"Handshakes per second of one core, our hub alone : Tornado's: {factor:.2f}.")


def _keep(folder: Path, people: int, quiet: Runs) -> None:
    """All that was seen, for whoever doubts."""
    rows = {name: [asdict(it) for it in runs] for name, runs in quiet.items()}
    (folder / f"fanout-{people}.json").write_text(json.dumps(rows, indent=1))


def _rates(runs: list[Figures]) -> list[float]:
    return [it.per_cpu_second for it in runs]


WAITS = ("to the last member, p50 [ms]", "p99", "p99.9")


def _waits(runs: list[Figures]) -> tuple[str, str, str]:
    """p50 run by run, the rest of all events together."""
    middles = [_of(sorted(it.waits), 0.5) for it in runs]
    many = sum(len(it.waits) for it in runs) >= 1_000
    last = f"{_part(runs, 0.999):.1f}" if many else "too few"
    return spread(middles, 1), f"{_part(runs, 0.99):.1f}", last


def _part(runs: list[Figures], p: float) -> float:
    return _of(sorted(wait for it in runs for wait in it.waits), p)


def _of(ordered: list[float], p: float) -> float:
    return ordered[min(len(ordered) - 1, int(p * len(ordered)))]
