"""Joins: the cost of opening a socket, and 10,000 clients that reconnect at once."""

from pathlib import Path

from bench.calls import case as calls
from bench.fanout.crowd import CompilerMissing, compile_c, compile_programs
from bench.joins import opening, storm
from bench.report import BenchmarkReport


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    report.section(
        "Joins",
        "The sockets belong to `bench/fanout/crowd.c`, one thread in C; the servers are "
        "`server.py` without rate limits. `bench/joins`.",
    )
    try:
        program, _ = compile_programs(folder)
        load = compile_c(calls.HERE / "load.c", folder / "load")
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    with report.timed("joins: opening"):
        await opening.run(report, uri, folder, program)
    with report.timed("joins: storm"):
        await storm.run(report, uri, folder, program, load)
