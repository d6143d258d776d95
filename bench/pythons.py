"""Compares QLive's own server on two interpreters, as ratios within one run.

`python -m bench.pythons /path/to/other/python`; requirements.txt must be installed for both.
Compared are deliveries in a quiet room, reads and changes, each per second of CPU of the server's
process.
"""

import asyncio
import contextlib
import functools
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from bench.calls.case import CONNECTIONS, READS, ask
from bench.calls.people import fill
from bench.calls.requests import changes, read, write
from bench.fanout.crowd import compile_all, compile_one, crowd, line, running
from bench.fanout.servers import environment, ours
from bench.growth import used
from bench.peers import Peers
from bench.report import ratios, spread
from storage.mongod import Mongod

RUNS, PEOPLE, EVENTS, SECONDS = 7, 1_000, 200, 2.0
COMPARED = ("get_userinfo", "get_livelist")
LOAD = Path(__file__).parent / "calls" / "load.c"
Measure = Callable[[], Awaitable[float]]
Stack = contextlib.AsyncExitStack


async def main(pythons: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="qlive-bench-") as name:
        folder = Path(name)
        mongod = Mongod(folder / "mongo")
        try:
            uri = await mongod.start()
            async with Stack() as stack:
                measures = [await _measures(stack, uri, folder, python) for python in pythons]
                found = await _compare(measures)
        finally:
            await mongod.stop()
    this, other = map(_version, pythons)
    print(f"per second of CPU | {this} | {other} | {other} : {this}, run by run")
    for what, (first, second) in found.items():
        beside = ratios(second, first)
        runs = " ".join(f"{ratio:.2f}" for ratio in beside)
        print(f"{what} | {spread(first)} | {spread(second)} | {spread(beside, 2)}: {runs}")


async def _measures(stack: Stack, uri: str, folder: Path, python: str) -> Mapping[str, Measure]:
    """What one interpreter's servers are asked for; they run until the stack is closed."""
    home = Path(tempfile.mkdtemp(dir=folder, prefix="bench_"))
    name = home.name  # of the database, too
    program, library = compile_all(home)
    given = environment(Peers())
    it = await ours(uri, f"{name}_fanout", PEOPLE, library, python)
    opening = crowd(PEOPLE, it.command, program, *it.options, environment=given)
    listeners = await stack.enter_async_context(opening)

    async def deliveries() -> float:
        return (await listeners.ask(f"quiet {EVENTS} q")).per_cpu_second

    guests = await fill(uri, name, CONNECTIONS, CONNECTIONS)
    requests = {call: [read(READS[call], guest) for guest in guests] for call in COMPARED}
    requests["changes"] = changes(guests)
    command = [python, "-m", "bench.calls.peers.qlive", uri, name, str(home)]
    server = await stack.enter_async_context(running(command, given, subprocess.DEVNULL))
    port, load = int(await line(server)), compile_one(LOAD, home / "load")

    async def calls(asked: Path) -> float:
        before = used(server.pid)
        said = await ask(load, port, asked, SECONDS)
        return said["answered"] / (used(server.pid) - before)

    measures: dict[str, Measure] = {"deliveries": deliveries}
    for call, asked in requests.items():
        write(home / call, asked)
        measures[call] = functools.partial(calls, home / call)
    return measures


async def _compare(measures: list[Mapping[str, Measure]]) -> dict[str, list[list[float]]]:
    """The runs of each interpreter; every other time the second one is measured first."""
    found: dict[str, list[list[float]]] = defaultdict(lambda: [[], []])
    for number in range(RUNS + 1):
        for what in measures[0]:
            for side in (0, 1) if number % 2 else (1, 0):
                rate = await measures[side][what]()
                found[what][side] += [rate] if number else []  # the first run warms
    return found


def _version(python: str) -> str:
    ask = "import platform; print('Python', platform.python_version())"
    command = [python, "-c", ask]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.strip()


if __name__ == "__main__":
    asyncio.run(main([sys.executable, *sys.argv[1:]]))
