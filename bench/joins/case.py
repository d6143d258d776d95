"""Joins: the cost of opening a socket, and 10,000 clients that reconnect at once."""

from pathlib import Path

from bench.calls import case as calls
from bench.fanout.crowd import CompilerMissing, compile_c, compile_programs
from bench.joins import opening, storm
from bench.peers import Peers
from bench.report import BenchmarkReport


async def run(report: BenchmarkReport, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "Joins",
        "The sockets belong to `bench/fanout/crowd.c`, one thread in C. QLive is `server.py` "
        "without rate limits, which logs a line of JSON per socket. The peers are Tornado's "
        "`WebSocketHandler`, and FastAPI on uvicorn with `websockets`, both on uvloop, one process "
        "each. For each join they read the token, store the connection in the membership, read the "
        "room and count its members, one PyMongo command after another; they check less, do not "
        "store the use of a token, log nothing and publish nothing. `bench/joins`.",
    )
    try:
        program, _ = compile_programs(folder)
        load = compile_c(calls.HERE / "load.c", folder / "load")
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    with report.timed("joins: opening"):
        await opening.run(report, peers, uri, folder, program)
    with report.timed("joins: storm"):
        await storm.run(report, peers, uri, folder, program, load)
