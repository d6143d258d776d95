"""`make bench`: costs beside those of peers, as ratios within one run, in docs/benchmarks.md.

Each figure is the median of several runs, taken in turn so that a drift of the machine meets all
sides; a ratio is taken run by run. `python -m bench fanout gifts` runs only those cases and leaves
docs/ alone.
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

from bench import changes, gifts, gifts_over_http, growth, relay
from bench.calls import case as calls
from bench.fanout import case as fanout
from bench.peers import Peers, install
from bench.report import PICTURES, Report
from chaos.redis_program import RedisNotInstalled, find_redis
from storage.mongod import Mongod

FOLDER = Path(".bench").absolute()
FILES = 12_000
"""Open ones that a server of 10,000 sockets needs."""
Case = Callable[[Report, Peers, str, Path], Awaitable[None]]


async def _gifts(report: Report, _peers: Peers, uri: str, folder: Path) -> None:
    with report.timed("gifts: without HTTP"):
        await gifts.run(report, uri)
    with report.timed("gifts: over HTTP"):
        await gifts_over_http.run(report, uri, folder)


async def _changes(report: Report, _peers: Peers, uri: str, _folder: Path) -> None:
    await changes.run(report, uri)


async def _relay(report: Report, _peers: Peers, uri: str, folder: Path) -> None:
    await relay.run(report, uri, folder)


async def _growth(report: Report, _peers: Peers, uri: str, folder: Path) -> None:
    await growth.run(report, uri, folder)


CASES: dict[str, Case] = {
    "fanout": fanout.run,
    "calls": calls.run,
    "growth": _growth,
    "changes": _changes,
    "gifts": _gifts,
    "relay": _relay,
}


async def main(wanted: Collection[str]) -> None:
    _end_on_sigterm()
    whole = set(wanted) == set(CASES)
    pictures = PICTURES if whole else FOLDER / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    report = Report(_machine(), pictures)
    folder = Path(tempfile.mkdtemp(prefix="qlive-bench-"))
    mongod = Mongod(folder / "mongo")
    try:
        with report.timed("install peers, start MongoDB"):
            peers = install(FOLDER)
            uri = await mongod.start()
        report.words(peers.line())
        for name, case in CASES.items():
            if name in wanted:
                with report.timed(name):
                    await case(report, peers, uri, folder)
        report.times()
        if whole:
            report.write()
    finally:
        await mongod.stop()
        shutil.rmtree(folder)


def why_not(wanted: Collection[str]) -> str | None:
    """What keeps these cases from being run here, as a sentence."""
    if sys.platform != "linux":
        return "The benchmarks run on Linux only: they read /proc."
    if unknown := [name for name in wanted if name not in CASES]:
        return f"No such case: {', '.join(unknown)}. The cases are {', '.join(CASES)}."
    if "growth" in wanted:
        try:
            find_redis()
        except RedisNotInstalled as missing:
            return str(missing)
    return None


def _allow_files() -> None:
    """As many open files as the system lets us; a warning when that is not enough."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < FILES:
        print(f"{FILES} open files are needed and {most} allowed: raise `ulimit -Hn`.")


def _end_on_sigterm() -> None:
    """With all servers, as Ctrl-C does."""
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _machine() -> str:
    about = Path("/proc/cpuinfo").read_text()
    models = [line.partition(": ")[2] for line in about.splitlines() if "model name" in line]
    return (
        f"{os.cpu_count()} cores ({models[0] if models else 'unknown'}, {platform.machine()}), "
        f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


if __name__ == "__main__":
    names = sys.argv[1:] or list(CASES)
    if reason := why_not(names):
        print(reason, file=sys.stderr)
        sys.exit(2)
    _allow_files()
    asyncio.run(main(names))
