"""Sockets opened per second of one core by the whole server, compared with peers."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.fanout.crowd import connected_crowd as connected_peer
from bench.fanout.servers import HUB_ONLY, PEER_SERVERS
from bench.fixtures import disconnect_members
from bench.joins.clients import Members, connected_crowd, create_members
from bench.joins.servers import QLIVE, peer_modules, running_peer
from bench.peers import Peers
from bench.report import BenchmarkReport, ratios, spread
from bench.scaling import cpu_seconds
from bench.server_process import ROOT, server_process

PORT, SOCKETS, RUNS = 18_768, 4_000, 3


class Load(NamedTuple):
    rooms: int
    window: int
    """Sockets that are being opened at any time."""


PEER_LOAD = "100 rooms, 256 at a time"
"""The load of the peers: in one room of 4,000 they would mostly wait for its count of members."""
LOADS = {
    "one room, 32 at a time": Load(1, 32),
    "one room, 256 at a time": Load(1, 256),
    PEER_LOAD: Load(100, 256),
}


class OpeningRates(NamedTuple):
    """Sockets opened per second, and per CPU second of the server."""

    wall: float
    cpu: float


class Openings:
    """Opens the sockets of a load to a new server process."""

    def __init__(
        self, uri: str, folder: Path, program: Path, members: Mapping[str, Members]
    ) -> None:
        """`members` by the name of their load."""
        self._uri = uri
        self._folder = folder
        self._program = program
        self._members = members

    async def of_qlive(self, load: str) -> OpeningRates:
        database = self._members[load].database
        await disconnect_members(self._uri, database)
        settings = {"QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0", "QLIVE_LOGGING__JSON": "true"}
        async with server_process(self._uri, database, self._folder, PORT, settings) as server:
            return await self._rates(load, server.pid, PORT)

    async def of_peer(self, load: str, module: str) -> OpeningRates:
        database = self._members[load].database
        await disconnect_members(self._uri, database)
        async with running_peer(module, self._uri, database, self._folder) as peer:
            return await self._rates(load, peer.pid, peer.port)

    async def _rates(self, load: str, pid: int, port: int) -> OpeningRates:
        before = cpu_seconds(pid)
        token_file, window = self._members[load].first_time, LOADS[load].window
        async with connected_crowd(self._program, port, token_file, SOCKETS, window) as opening:
            cpu = cpu_seconds(pid) - before
        return OpeningRates(SOCKETS / opening.seconds, SOCKETS / cpu)


async def run(report: BenchmarkReport, peers: Peers, uri: str, folder: Path, program: Path) -> None:
    members = {
        name: await create_members(
            uri, f"bench_opening_{n}", folder, users=SOCKETS, rooms=load.rooms
        )
        for n, (name, load) in enumerate(LOADS.items())
    }
    openings = Openings(uri, folder, program, members)
    rates: dict[tuple[str, str], list[OpeningRates]] = defaultdict(list)
    for _ in range(RUNS):
        for load in LOADS:
            rates[load, QLIVE].append(await openings.of_qlive(load))
        for name, module in peer_modules(peers).items():
            rates[PEER_LOAD, name].append(await openings.of_peer(PEER_LOAD, module))
        rates["", HUB_ONLY].append(await _opening_of_hub(program))
    _report(report, rates)


async def _opening_of_hub(program: Path) -> OpeningRates:
    (hub,) = (server for server in PEER_SERVERS if server.name == HUB_ONLY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = ("-w", "256", *hub.options)
    crowd = connected_peer(SOCKETS, hub.command, program, *options, environment=environment)
    async with crowd as peer:
        return OpeningRates(SOCKETS / peer.opening_seconds, SOCKETS / peer.opening_cpu)


def _report(report: BenchmarkReport, rates: Mapping[tuple[str, str], list[OpeningRates]]) -> None:
    report.subsection(
        "Opening sockets",
        f"{SOCKETS:,} members open their sockets; {RUNS} alternating runs, each of a new server "
        "process. A socket is open when it has received its snapshot. The ratios are those of "
        "sockets per CPU second of the server, without MongoDB's.",
    )
    cpu = {key: [it.cpu for it in runs] for key, runs in rates.items()}
    rows = []
    for (load, name), runs in rates.items():
        qlive = cpu.get((load, QLIVE))
        rows.append(
            (
                f"{load}, {name}" if load else name,
                spread([it.wall for it in runs]),
                spread(cpu[load, name]),
                spread([1e6 / it for it in cpu[load, name]]),
                spread(ratios(cpu[load, name], cpu["", HUB_ONLY]), 2),
                spread(ratios(qlive, cpu[load, name]), 2) if qlive and name != QLIVE else "",
            )
        )
    header = ["", "sockets per second", "sockets per CPU second", "CPU per socket [µs]"]
    report.table([*header, "relative to the hub alone", "QLive : peer"], rows)
