"""Sockets opened per second of one core by the whole server."""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from bench.fanout.crowd import connected_crowd as connected_peer
from bench.fanout.servers import HUB_ONLY, PEER_SERVERS
from bench.joins.clients import Members, connected_crowd, create_members
from bench.report import BenchmarkReport, ratios, spread
from bench.scaling import cpu_seconds
from bench.server_process import ROOT, server_process

PORT, SOCKETS, RUNS = 18_768, 4_000, 3


class Load(NamedTuple):
    rooms: int
    window: int
    """Sockets that are being opened at any time."""


LOADS = {
    "one room, 32 at a time": Load(1, 32),
    "one room, 256 at a time": Load(1, 256),
    "100 rooms, 256 at a time": Load(100, 256),
}


class OpeningRates(NamedTuple):
    """Sockets opened per second, and per CPU second of the server."""

    wall: float
    cpu: float


async def run(report: BenchmarkReport, uri: str, folder: Path, program: Path) -> None:
    members = {
        name: await create_members(
            uri, f"bench_opening_{n}", folder, users=SOCKETS, rooms=load.rooms
        )
        for n, (name, load) in enumerate(LOADS.items())
    }
    rates: dict[str, list[OpeningRates]] = defaultdict(list)
    for _ in range(RUNS):
        for name, load in LOADS.items():
            rates[name].append(await _opening(uri, folder, program, members[name], load.window))
        rates[HUB_ONLY].append(await _opening_of_hub(program))
    _report(report, rates)


async def _opening(
    uri: str, folder: Path, program: Path, members: Members, window: int
) -> OpeningRates:
    """Open the sockets to a new server process."""
    settings = {"QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0", "QLIVE_LOGGING__JSON": "true"}
    async with server_process(uri, members.database, folder, PORT, settings) as server:
        before = cpu_seconds(server.pid)
        crowd = connected_crowd(program, PORT, members.first_time, SOCKETS, window)
        async with crowd as opening:
            cpu = cpu_seconds(server.pid) - before
    return OpeningRates(SOCKETS / opening.seconds, SOCKETS / cpu)


async def _opening_of_hub(program: Path) -> OpeningRates:
    (hub,) = (server for server in PEER_SERVERS if server.name == HUB_ONLY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = ("-w", "256", *hub.options)
    crowd = connected_peer(SOCKETS, hub.command, program, *options, environment=environment)
    async with crowd as peer:
        return OpeningRates(SOCKETS / peer.opening_seconds, SOCKETS / peer.opening_cpu)


def _report(report: BenchmarkReport, rates: dict[str, list[OpeningRates]]) -> None:
    report.subsection(
        "Opening sockets",
        f"{SOCKETS:,} members open their sockets; {RUNS} alternating runs, each of a new server "
        "process, which logs a line of JSON per socket. A socket is open when it has received its "
        "snapshot.",
    )
    hub = [it.cpu for it in rates[HUB_ONLY]]
    rows = [
        (
            name,
            spread([it.wall for it in runs]),
            spread([it.cpu for it in runs]),
            spread([1e6 / it.cpu for it in runs]),
            spread(ratios([it.cpu for it in runs], hub), 2),
        )
        for name, runs in rates.items()
    ]
    header = ["", "sockets per second", "sockets per CPU second", "CPU per socket [µs]"]
    report.table([*header, "relative to the hub alone"], rows)
