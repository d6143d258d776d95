"""Sockets opened per second by the whole server, in many rooms."""

from pathlib import Path

from bench.benchmark import Benchmark
from bench.checkout import Checkout
from bench.fanout.crowd import connected_crowd
from bench.fanout.servers import MeasuredServer, qlive_server

ROOMS, WINDOW = 100, 256
"""Rooms of the clients, and sockets that are being opened at any time."""


async def opening_server(
    benchmark: Benchmark, checkout: Checkout, database: str, library: Path
) -> MeasuredServer:
    """Write the clients' users and rooms to MongoDB; returns their server."""
    sockets = benchmark.scale.opened
    return await qlive_server(benchmark.uri, database, sockets, library, checkout, ROOMS)


async def open_all(
    benchmark: Benchmark, server: MeasuredServer, program: Path
) -> tuple[float, float]:
    """Return the sockets that a new process opens per second, and per CPU second."""
    await server.checkout.call_fixture("disconnect_members", benchmark.uri, server.database)
    sockets = benchmark.scale.opened
    async with connected_crowd(server, sockets, program, "-w", str(WINDOW)) as crowd:
        return sockets / crowd.opening_seconds, sockets / crowd.opening_cpu


async def run(benchmark: Benchmark, program: Path, library: Path) -> None:
    scale = benchmark.scale
    server = await opening_server(benchmark, Checkout(), "bench_opening", library)
    rates = [await open_all(benchmark, server, program) for _ in range(scale.runs)]
    by_second, by_cpu = zip(*rates, strict=True)
    benchmark.report.subsection(
        "Opening sockets",
        f"{scale.opened:,} members in {ROOMS} rooms open their sockets, {WINDOW} at a time; "
        f"{scale.runs} runs, each of a new server process. A socket is open when it has received "
        "its snapshot. The CPU time is that of the server, without MongoDB's.",
    )
    rows = [
        ("sockets per second", by_second, 0),
        ("sockets per CPU second", by_cpu, 0),
        ("CPU per socket [µs]", [1e6 / rate for rate in by_cpu], 0),
    ]
    benchmark.report.spread_table(rows)
