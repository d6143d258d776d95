"""Sockets opened per second by the whole server, in many rooms."""

from pathlib import Path
from typing import NamedTuple

from bench.benchmark import Benchmark
from bench.checkout import Checkout
from bench.fanout.crowd import connected_crowd
from bench.fanout.servers import MeasuredServer, qlive_server

ROOMS, WINDOW = 100, 256
"""Rooms of the clients, and sockets that are being opened at any time."""


class OpeningRates(NamedTuple):
    """Sockets opened per second, and per CPU second of the server."""

    wall: float
    cpu: float


class Openings:
    """Opens the same sockets to one new server process after another."""

    def __init__(
        self, checkout: Checkout, uri: str, database: str, program: Path, library: Path
    ) -> None:
        self._checkout, self._uri, self._database = checkout, uri, database
        self._program, self._library = program, library
        self._server: MeasuredServer

    async def prepare(self, sockets: int) -> None:
        """Write the clients' users and rooms to MongoDB."""
        self._server = await qlive_server(
            self._uri, self._database, sockets, self._library, self._checkout, ROOMS
        )
        self._sockets = sockets

    async def open_all(self) -> OpeningRates:
        await self._checkout.call_fixture("disconnect_members", self._uri, self._database)
        server = self._server
        connecting = connected_crowd(
            self._sockets,
            server.command,
            self._program,
            *("-w", str(WINDOW), *server.options),
            environment=self._checkout.environment(),
            cwd=self._checkout.root,
        )
        async with connecting as crowd:
            return OpeningRates(
                crowd.sockets / crowd.opening_seconds, crowd.sockets / crowd.opening_cpu
            )


async def run(benchmark: Benchmark, program: Path, library: Path) -> None:
    scale = benchmark.scale
    openings = Openings(Checkout(), benchmark.uri, "bench_opening", program, library)
    await openings.prepare(scale.opened)
    rates = [await openings.open_all() for _ in range(scale.runs)]
    benchmark.report.subsection(
        "Opening sockets",
        f"{scale.opened:,} members in {ROOMS} rooms open their sockets, {WINDOW} at a time; "
        f"{scale.runs} runs, each of a new server process. A socket is open when it has received "
        "its snapshot. The CPU time is that of the server, without MongoDB's.",
    )
    rows = [
        ("sockets per second", [rate.wall for rate in rates], 0),
        ("sockets per CPU second", [rate.cpu for rate in rates], 0),
        ("CPU per socket [µs]", [1e6 / rate.cpu for rate in rates], 0),
    ]
    benchmark.report.spread_table(rows)
