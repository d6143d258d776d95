"""`make bench`: what things cost, as ratios within one run, written to docs/benchmarks.md.

Each figure is the median of several runs, taken in turn so that a drift of the machine meets all
sides; a ratio is taken run by run. `python -m bench fanout gifts` measures only those, and writes
nothing.
"""

import asyncio
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import changes, gifts, gifts_over_http, growth, relay
from bench.calls import case as calls
from bench.fanout import case as fanout
from bench.peers import Peers, install
from bench.report import Report
from chaos.fleet import raise_file_limit
from storage.mongod import Mongod

FOLDER = Path(".bench").absolute()
FILES = 12_000
"""Open ones that a server of 10,000 sockets needs."""
Case = Callable[[Report, Peers, str, Path], Awaitable[None]]


async def _gifts(report: Report, _peers: Peers, uri: str, folder: Path) -> None:
    await gifts.run(report, uri)
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


async def main(wanted: list[str]) -> None:
    if short := raise_file_limit(FILES):
        print(short, file=sys.stderr)
    _end_on_sigterm()
    report = Report(_machine())
    folder = Path(tempfile.mkdtemp(prefix="qlive-bench-"))
    mongod = Mongod(folder / "mongo")
    try:
        peers = install(FOLDER)
        report.words(peers.line())
        uri = await mongod.start()
        for name, case in CASES.items():
            if name in wanted or not wanted:
                await case(report, peers, uri, folder)
        if not wanted:
            report.write()
    finally:
        await mongod.stop()
        shutil.rmtree(folder)


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
    asyncio.run(main(sys.argv[1:]))
