"""Measure this server and its peers, or this checkout and another one.

    python -m bench                                       all parts; writes docs/benchmarks.md
    python -m bench fanout gifts                          some parts; writes nothing
    python -m bench compare PATH --only changes --pairs 5 against the checkout in PATH
    python -m bench --quick                               shows that each part works

Each figure is the median of several runs. The runs of the compared sides alternate, so that a drift
of the machine affects them all, and ratios are computed run by run.
"""

import argparse
import asyncio
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import before_send
from bench.benchmark import QUICK, Benchmark, Scale, find_peers
from bench.calls import case as calls
from bench.compare import PARTS, compare_checkouts
from bench.fanout import case as fanout
from bench.fanout.crowd import compile_programs
from bench.joins import opening, storm
from bench.report import PICTURES, BenchmarkReport
from chaos.run import raise_file_limit
from devtools.embedded_mongod import EmbeddedMongod

FOLDER = Path(".bench").absolute()
REQUIRED_OPEN_FILES = 12_000
"""Open files that a server with 10,000 sockets needs."""


async def _joins(benchmark: Benchmark) -> None:
    report = benchmark.report
    report.section("Joins", "The sockets belong to `bench/fanout/crowd.c`. `bench/joins`.")
    program, library = compile_programs(benchmark.folder)
    with report.timed("joins: opening"):
        await opening.run(benchmark, program, library)
    with report.timed("joins: after a kill"):
        await storm.run(benchmark, program)


CASES: dict[str, Callable[[Benchmark], Awaitable[None]]] = {
    "fanout": fanout.run,
    "reads": calls.reads,
    "changes": calls.changes,
    "gifts": calls.gifts,
    "checks": calls.checks,
    "giving": calls.giving,
    "before_send": before_send.run,
    "joins": _joins,
}


async def measure(names: list[str], scale: Scale, other: Path | None) -> None:
    """Run these cases, or compare these parts with the checkout `other`."""
    complete = set(names) == set(CASES) and scale == Scale() and not other
    pictures = PICTURES if complete else FOLDER / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    async with _benchmark(scale, pictures) as benchmark:
        report = benchmark.report
        if other:
            await compare_checkouts(benchmark, other, names)
            return
        if {"fanout", "reads"} & set(names):
            benchmark.peers = find_peers(FOLDER)
        report.paragraph(benchmark.peers.summary())
        for name in names:
            with report.timed(name):
                await CASES[name](benchmark)
    report.durations()
    if complete:
        report.write()


@asynccontextmanager
async def _benchmark(scale: Scale, pictures: Path) -> AsyncIterator[Benchmark]:
    """Yield a new MongoDB, a folder for the files of the run, and an empty report."""
    task = asyncio.current_task()
    assert task
    # As Ctrl-C does, it stops all servers.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="qlive-bench-") as name:
        mongod = EmbeddedMongod(Path(name) / "mongo")
        try:
            report = BenchmarkReport(_machine(), pictures)
            yield Benchmark(report, await mongod.start(), Path(name), scale)
        finally:
            await mongod.stop()


def unavailable_reason(names: list[str], known: Collection[str]) -> str | None:
    """Return the reason why these cases cannot run on this machine, or None."""
    if sys.platform != "linux":
        return "The benchmarks run on Linux only: they read /proc."
    if unknown := [name for name in names if name not in known]:
        return f"No such case: {', '.join(unknown)}. The cases are {', '.join(known)}."
    missing = [program for program in ("redis-server", "cc") if not shutil.which(program)]
    return f"Not installed: {', '.join(missing)}; run `make bench`." if missing else None


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.partition(": ")[2] for line in cpuinfo.splitlines() if "model name" in line]
    return (
        f"{os.cpu_count()} cores ({models[0] if models else 'unknown'}, {platform.machine()}), "
        f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", help=f"{', '.join(CASES)}; or compare PATH")
    parser.add_argument("--only", nargs="+", default=[], help="compare: only these parts")
    parser.add_argument("--pairs", type=int, help="compare: number of pairs of runs")
    parser.add_argument("--quick", action="store_true", help="tiny runs, whose figures say nothing")
    args = parser.parse_args(arguments)
    scale = QUICK if args.quick else Scale()
    other = Path(args.names[1]).resolve() if args.names[:-1] == ["compare"] else None
    known = (*(PARTS if other else CASES),)
    names = (args.only if other else args.names) or [*known]
    if reason := unavailable_reason(names, known):
        print(reason, file=sys.stderr)
        return 2
    try:
        raise_file_limit(REQUIRED_OPEN_FILES)
    except RuntimeError as problem:
        print(problem)
    asyncio.run(measure(names, replace(scale, runs=args.pairs or scale.runs), other))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
