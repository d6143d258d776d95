"""The contract's calls at 64 connections: reads beside FastAPI and Tornado, changes beside the bare
commands."""

import asyncio
import contextlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from bench.calls.people import fill
from bench.calls.requests import changes, read, write
from bench.fanout.crowd import NoCompiler, compile_one
from bench.peers import Peers
from bench.picture import groups
from bench.report import Report, ratios, spread

HERE = Path(__file__).parent
CONNECTIONS, SECONDS, RUNS = 64, 1.5, 5
WARM_SECONDS = 1.0
ROOMS = 8
"""In which those who read are, eight in each."""
OURS, TORNADO, FASTAPI = "QLive", "Tornado", "FastAPI"
READS = {
    "get_user_state": "qlive_user/get_user_state/",
    "get_userinfo": "qlive_user/get_userinfo/",
    "get_livelist": "get_livelist/?page=1",
    "get_users_info": "qlive_user/get_users_info/?live_id={live_id}&gender=1&page=1",
}
Runs = dict[str, list[float]]


async def run(report: Report, peers: Peers, uri: str, folder: Path) -> None:
    report.section(
        "The contract's calls",
        f"{CONNECTIONS} connections, each asking again when it is answered (`bench/calls/load.c`, "
        "one thread in C); one process of each server, MongoDB and the load on two cores. "
        "The whole server of ours is measured, with a "
        "line of JSON logged for each call. The others do with PyMongo, one after the other, the "
        "look-ups that one would write: FastAPI on uvicorn with uvloop and httptools, and plain "
        "Tornado handlers on uvloop. Ours joins what is asked for together, and for 30 s knows "
        "whose a token is and the rates. "
        f"{RUNS} runs of {SECONDS:g} s, taken in turn, after one of {WARM_SECONDS:g} s.",
    )
    try:
        load = compile_one(HERE / "load.c", folder / "load")
    except NoCompiler:
        report.words("Not measured: there is no C compiler (`cc`) here.")
        return
    database, requests = "bench_calls", folder / "requests"
    guests = await fill(uri, database, ROOMS, CONNECTIONS)
    modules = {OURS: "qlive", TORNADO: "tornado_"}
    if "FastAPI" in peers.versions:
        modules[FASTAPI] = "fastapi_"
    async with _serving(modules, uri, database, folder) as ports:
        reads = {}
        for call, path in READS.items():
            write(requests, [read(path, guest) for guest in guests])
            with report.timed(f"calls: {call}"):
                reads[call] = await _compare(load, dict.fromkeys(ports, requests), ports)
    _tell_reads(report, reads)
    with report.timed("calls: changes"):
        changed = await _change(load, uri, folder)
    _tell_changes(report, changed)


async def _change(load: Path, uri: str, folder: Path) -> dict[str, Runs]:
    """Each server with a database of its own."""
    ports, asked = {}, {}
    async with contextlib.AsyncExitStack() as stack:
        for name, module in {OURS: "qlive", BARE: "bare"}.items():
            database, asked[name] = f"bench_changes_{module}", folder / f"changes-{module}"
            guests = await fill(uri, database, CONNECTIONS, CONNECTIONS)
            write(asked[name], changes(guests))
            serving = _serving({name: module}, uri, database, folder)
            ports |= await stack.enter_async_context(serving)
        return await _compare(load, asked, ports)


BARE = "the bare commands in plain Tornado handlers"


async def _compare(
    load: Path, asked: Mapping[str, Path], ports: Mapping[str, int]
) -> dict[str, Runs]:
    """By server: calls per second, and what they waited in ms."""
    found: dict[str, Runs] = {name: defaultdict(list) for name in asked}
    for number in range(RUNS + 1):
        for name, requests in asked.items():
            said = await ask(load, ports[name], requests, SECONDS if number else WARM_SECONDS)
            if number:
                found[name]["rate"].append(said["answered"] / said["seconds"])
                for part in ("p50", "p99"):
                    found[name][part].append(said[part])
    return found


async def ask(load: Path, port: int, requests: Path, seconds: float) -> dict[str, float]:
    """What load.c says of one run; every call must be answered with 200."""
    command = [str(load), str(port), str(CONNECTIONS), str(seconds), str(requests)]
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    said: dict[str, float] = json.loads((await program.communicate())[0])
    assert not said["refused"], requests
    return said


def _tell_reads(report: Report, reads: Mapping[str, Mapping[str, Runs]]) -> None:
    rows = []
    for call, found in reads.items():
        ours = found[OURS]["rate"]
        for name, runs in found.items():
            beside = "" if name == OURS else spread(ratios(ours, runs["rate"]), 2)
            waits = [spread(runs[part], 1) for part in ("p50", "p99")]
            rows.append((f"{call}, {name}", spread(runs["rate"]), beside, *waits))
    report.words("### Reads")
    report.table(["", "answered per second", "QLive : this one", "p50 [ms]", "p99 [ms]"], rows)
    bars = {call: {n: runs["rate"] for n, runs in found.items()} for call, found in reads.items()}
    groups(report.pictures / "calls.svg", "Answers per second, one process, 64 connections", bars)
    report.picture("calls.svg", "Answers per second of one process at 64 connections")


def _tell_changes(report: Report, found: Mapping[str, Runs]) -> None:
    report.words(
        "### Changes\n\napply_micro, accept_micro, leave_micro in turn, each of 64 people in a "
        "room of their own. The bare commands are token, person, the room with one's place, and a "
        "transaction that writes room and place (and, for leave, an errand): nothing is decided, "
        "guarded, told or logged. (Beside one find "
        "and one update without HTTP: see "
        "A change of a room.)"
    )
    rows = [
        (name, *(spread(runs[part], digits) for part, digits in PARTS.items()))
        for name, runs in found.items()
    ]
    report.table(["", "answered per second", "p50 [ms]", "p99 [ms]"], rows)
    beside = ratios(found[OURS]["rate"], found[BARE]["rate"])
    report.words(f"QLive : the bare commands: {spread(beside, 2)}.")


PARTS = {"rate": 0, "p50": 1, "p99": 1}


@contextlib.asynccontextmanager
async def _serving(
    modules: Mapping[str, str], uri: str, database: str, folder: Path
) -> AsyncIterator[dict[str, int]]:
    """The ports of all of them."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    programs = []
    ports = {}
    try:
        for name, module in modules.items():
            command = [sys.executable, "-m", f"bench.calls.peers.{module}", uri, database]
            with (folder / f"{module}.log").open("wb") as log:
                program = await asyncio.create_subprocess_exec(
                    *command,
                    str(folder),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    env=environment,
                )
            programs.append(program)
            assert program.stdout
            ports[name] = int(await program.stdout.readline())
        yield ports
    finally:
        for program in programs:
            program.kill()
            await program.wait()
