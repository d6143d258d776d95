"""Run all benchmarks against peers and write docs/benchmarks.md (`make bench`).

Each figure is the median of several runs. The runs of the compared sides alternate, so that a drift
of the machine affects them all, and ratios are computed run by run. `python -m bench fanout gifts`
runs only those cases and does not write docs/.
"""

import asyncio
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from bench import gifts, gifts_http, im_latency, room_changes, scaling
from bench.calls import case as calls
from bench.calls import changes
from bench.fanout import case as fanout
from bench.joins import case as joins
from bench.peers import Peers, install
from bench.report import PICTURES, BenchmarkReport
from chaos.redis_program import RedisNotInstalled, find_redis
from devtools.embedded_mongod import EmbeddedMongod

FOLDER = Path(".bench").absolute()
REQUIRED_OPEN_FILES = 12_000
"""Open files that a server with 10,000 sockets needs."""
RunCase = Callable[[BenchmarkReport, Peers, str, Path], Awaitable[None]]


async def _gifts(report: BenchmarkReport, _peers: Peers, uri: str, folder: Path) -> None:
    with report.timed("gifts: without HTTP"):
        await gifts.run(report, uri)
    with report.timed("gifts: over HTTP"):
        await gifts_http.run(report, uri, folder)


async def _changes(report: BenchmarkReport, peers: Peers, uri: str, folder: Path) -> None:
    await changes.run(report, peers, uri, folder)
    with report.timed("changes: without HTTP"):
        await room_changes.run(report, uri)


async def _relay(report: BenchmarkReport, _peers: Peers, uri: str, folder: Path) -> None:
    await im_latency.run(report, uri, folder)


async def _growth(report: BenchmarkReport, _peers: Peers, uri: str, folder: Path) -> None:
    await scaling.run(report, uri, folder)


CASES: dict[str, RunCase] = {
    "fanout": fanout.run,
    "calls": calls.run,
    "growth": _growth,
    "joins": joins.run,
    "changes": _changes,
    "gifts": _gifts,
    "relay": _relay,
}


async def main(selected: Collection[str]) -> None:
    _cancel_on_sigterm()
    complete = set(selected) == set(CASES)
    pictures = PICTURES if complete else FOLDER / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    report = BenchmarkReport(_machine(), pictures)
    folder = Path(tempfile.mkdtemp(prefix="qlive-bench-"))
    mongod = EmbeddedMongod(folder / "mongo")
    try:
        with report.timed("install peers, start MongoDB"):
            peers = install(FOLDER)
            uri = await mongod.start()
        report.paragraph(peers.summary())
        for name, run_case in CASES.items():
            if name in selected:
                with report.timed(name):
                    await run_case(report, peers, uri, folder)
        report.durations()
        if complete:
            report.write()
    finally:
        await mongod.stop()
        shutil.rmtree(folder)


def unavailable_reason(selected: Collection[str]) -> str | None:
    """The reason why these cases cannot run on this machine, or None."""
    if sys.platform != "linux":
        return "The benchmarks run on Linux only: they read /proc."
    if unknown := [name for name in selected if name not in CASES]:
        return f"No such case: {', '.join(unknown)}. The cases are {', '.join(CASES)}."
    if {"growth", "joins"} & set(selected):
        try:
            find_redis()
        except RedisNotInstalled as error:
            return str(error)
    return None


def _raise_file_limit() -> None:
    """Raise the open-file limit to the hard limit; warn when that is not enough."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    if hard_limit < REQUIRED_OPEN_FILES:
        print(
            f"The benchmarks need {REQUIRED_OPEN_FILES} open files, but the hard limit is "
            f"{hard_limit}; raise it with `ulimit -Hn`."
        )


def _cancel_on_sigterm() -> None:
    """Cancel the main task on SIGTERM, which stops all servers as Ctrl-C does."""
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.partition(": ")[2] for line in cpuinfo.splitlines() if "model name" in line]
    return (
        f"{os.cpu_count()} cores ({models[0] if models else 'unknown'}, {platform.machine()}), "
        f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    if reason := unavailable_reason(names):
        print(reason, file=sys.stderr)
        sys.exit(2)
    _raise_file_limit()
    asyncio.run(main(names))
