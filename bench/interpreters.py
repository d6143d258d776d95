"""Compares the QLive server on two Python interpreters, run by run.

`python -m bench.interpreters /path/to/other/python`; requirements.txt must be installed for both.
Measures deliveries in a quiet room, reads and changes, each per second of CPU time of the server
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

from bench.calls.case import CONNECTIONS, READS, run_load
from bench.calls.guests import create_guests
from bench.calls.requests import change_requests, read_request, write_request_file
from bench.fanout.crowd import (
    compile_c,
    compile_programs,
    connected_crowd,
    read_line,
    running_process,
)
from bench.fanout.servers import environment, qlive_server
from bench.peers import Peers
from bench.report import ratios, spread
from bench.scaling import cpu_seconds
from devtools.embedded_mongod import EmbeddedMongod

RUNS, SOCKETS, EVENTS, SECONDS = 7, 1_000, 200, 2.0
COMPARED_READS = ("get_userinfo", "get_livelist")
LOAD_SOURCE = Path(__file__).parent / "calls" / "load.c"
Measurement = Callable[[], Awaitable[float]]


async def main(pythons: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="qlive-bench-") as name:
        folder = Path(name)
        mongod = EmbeddedMongod(folder / "mongo")
        try:
            uri = await mongod.start()
            async with contextlib.AsyncExitStack() as stack:
                measurements = [
                    await _measurements(stack, uri, folder, python) for python in pythons
                ]
                runs_by_name = await _compare(measurements)
        finally:
            await mongod.stop()
    this, other = map(_version, pythons)
    print(f"per CPU second | {this} | {other} | {other} : {this}, run by run")
    for name, (first, second) in runs_by_name.items():
        relative = ratios(second, first)
        runs = " ".join(f"{ratio:.2f}" for ratio in relative)
        print(f"{name} | {spread(first)} | {spread(second)} | {spread(relative, 2)}: {runs}")


async def _measurements(
    stack: contextlib.AsyncExitStack, uri: str, folder: Path, python: str
) -> Mapping[str, Measurement]:
    """Start one interpreter's servers until `stack` closes; returns its measurements by name."""
    workdir = Path(tempfile.mkdtemp(dir=folder, prefix="bench_"))
    database = workdir.name
    program, library = compile_programs(workdir)
    env = environment(Peers())
    fanout_server = await qlive_server(uri, f"{database}_fanout", SOCKETS, library, python)
    connecting = connected_crowd(
        SOCKETS, fanout_server.command, program, *fanout_server.options, environment=env
    )
    crowd = await stack.enter_async_context(connecting)

    async def deliveries() -> float:
        return (await crowd.run(f"quiet {EVENTS} q")).deliveries_per_cpu_second

    guests = await create_guests(uri, database, CONNECTIONS, CONNECTIONS)
    requests = {
        call: [read_request(READS[call], guest) for guest in guests] for call in COMPARED_READS
    }
    requests["changes"] = change_requests(guests)
    command = [python, "-m", "bench.calls.peers.qlive", uri, database, str(workdir)]
    http_server = await stack.enter_async_context(running_process(command, env, subprocess.DEVNULL))
    port, load = int(await read_line(http_server)), compile_c(LOAD_SOURCE, workdir / "load")

    async def responses(request_file: Path) -> float:
        before = cpu_seconds(http_server.pid)
        result = await run_load(load, port, request_file, SECONDS)
        return result["responses"] / (cpu_seconds(http_server.pid) - before)

    measurements: dict[str, Measurement] = {"deliveries": deliveries}
    for call, payloads in requests.items():
        write_request_file(workdir / call, payloads)
        measurements[call] = functools.partial(responses, workdir / call)
    return measurements


async def _compare(
    measurements: list[Mapping[str, Measurement]],
) -> dict[str, list[list[float]]]:
    """The runs of both interpreters; which of them is measured first alternates."""
    runs: dict[str, list[list[float]]] = defaultdict(lambda: [[], []])
    for run in range(RUNS + 1):
        for name in measurements[0]:
            for side in (0, 1) if run % 2 else (1, 0):
                rate = await measurements[side][name]()
                runs[name][side] += [rate] if run else []  # run 0 is the warm-up
    return runs


def _version(python: str) -> str:
    code = "import platform; print('Python', platform.python_version())"
    command = [python, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return result.stdout.strip()


if __name__ == "__main__":
    asyncio.run(main([sys.executable, *sys.argv[1:]]))
