"""Throughput and latency of reads at 64 connections, compared with FastAPI and Tornado."""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from bench.calls.guests import create_guests
from bench.calls.requests import READS, read_request, write_request_file
from bench.calls.servers import Servers, running_servers
from bench.fanout.crowd import CompilerMissing, compile_c
from bench.peers import Peers
from bench.plots import grouped_bar_chart
from bench.report import BenchmarkReport, ratios, spread

HERE = Path(__file__).parent
CONNECTIONS, SECONDS, RUNS = 64, 1.5, 5
WARM_UP_SECONDS = 1.0
ROOMS = 8
"""Rooms in the benchmark of reads, with eight guests each."""
QLIVE, TORNADO, FASTAPI = "QLive", "Tornado", "FastAPI"
BARE_TORNADO = "bare commands in plain Tornado handlers"
BARE_FASTAPI = "bare commands in FastAPI"
COLUMN_DIGITS = {"rate": 0, "p50": 1, "p99": 1}
RATE_HEADER, P50_HEADER, P99_HEADER = "responses per second", "p50 [ms]", "p99 [ms]"

LoadRuns = dict[str, list[float]]
"""By column of COLUMN_DIGITS: its figure in each run."""


async def run(report: BenchmarkReport, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "API requests",
        f"{CONNECTIONS} connections, each of which sends the next request once it has the response "
        "(`bench/calls/load.c`, one thread in C). Each server is one process, which shares "
        f"{os.cpu_count()} cores with MongoDB and the load generator. QLive is the full server, "
        "which logs a line of JSON per request, batches concurrent reads, and caches token owners "
        "and rates for 30 s. The peers make the straightforward PyMongo queries one after another: "
        "FastAPI on uvicorn with uvloop and httptools, and plain Tornado handlers on uvloop. "
        f"{RUNS} alternating runs of {SECONDS:g} s after a warm-up of {WARM_UP_SECONDS:g} s.",
    )
    try:
        load = compile_c(HERE / "load.c", folder / "load")
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    database, request_file = "bench_calls", folder / "requests"
    guests = await create_guests(uri, database, ROOMS, CONNECTIONS)
    modules = {QLIVE: "qlive", TORNADO: "tornado_"}
    if "FastAPI" in peers.versions:
        modules[FASTAPI] = "fastapi_"
    async with running_servers(modules, uri, dict.fromkeys(modules, database), folder) as servers:
        reads = {}
        for call, path in READS.items():
            write_request_file(request_file, [read_request(path, guest) for guest in guests])
            with report.timed(f"calls: {call}"):
                reads[call] = await compare(load, servers, request_file)
    _report_reads(report, reads)


async def compare(load: Path, servers: Servers, request_file: Path) -> dict[str, LoadRuns]:
    """By server: responses per second, and p50 and p99 of the latency in ms."""
    runs: dict[str, LoadRuns] = {name: defaultdict(list) for name in servers.ports}
    for number in range(RUNS + 1):  # run 0 is the warm-up
        seconds = SECONDS if number else WARM_UP_SECONDS
        for name in servers.ports:
            with servers.running(name) as port:
                result = await run_load(load, port, request_file, seconds)
            if number:
                add_run(runs[name], result)
    return runs


def add_run(runs: LoadRuns, result: Mapping[str, float]) -> None:
    runs["rate"].append(result["responses"] / result["seconds"])
    for percentile in ("p50", "p99"):
        runs[percentile].append(result[percentile])


async def run_load(
    load: Path,
    port: int,
    request_file: Path,
    seconds: float,
    connections: int = CONNECTIONS,
    pause_ms: int = 0,
) -> dict[str, float]:
    """Run load.c once; returns its figures, asserts only 200 responses."""
    command = [str(load), str(port), str(connections), str(seconds), str(request_file)]
    command.append(str(pause_ms))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    result: dict[str, float] = json.loads((await process.communicate())[0])
    assert not result["errors"], request_file
    return result


def _report_reads(report: BenchmarkReport, reads: Mapping[str, Mapping[str, LoadRuns]]) -> None:
    rows = []
    for call, by_server in reads.items():
        qlive_rates = by_server[QLIVE]["rate"]
        for name, runs in by_server.items():
            ratio = "" if name == QLIVE else spread(ratios(qlive_rates, runs["rate"]), 2)
            latencies = [spread(runs[part], 1) for part in ("p50", "p99")]
            rows.append((f"{call}, {name}", spread(runs["rate"]), ratio, *latencies))
    report.subsection("Reads")
    report.table(["", RATE_HEADER, "QLive : peer", P50_HEADER, P99_HEADER], rows)
    rates = {
        call: {name: runs["rate"] for name, runs in by_server.items()}
        for call, by_server in reads.items()
    }
    title = f"Responses per second of one process at {CONNECTIONS} connections"
    grouped_bar_chart(report.pictures / "calls.svg", title, rates)
    report.picture("calls.svg", title)


def add_table(report: BenchmarkReport, runs_by_name: Mapping[str, LoadRuns]) -> None:
    """Add a row of rates and latencies for each name."""
    rows = [
        (name, *(spread(runs[part], digits) for part, digits in COLUMN_DIGITS.items()))
        for name, runs in runs_by_name.items()
    ]
    report.table(["", RATE_HEADER, P50_HEADER, P99_HEADER], rows)
