"""Cost of an event and of an idle socket by number of rooms and processes."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path

import aiohttp

from bench.fanout.crowd import NoCompiler, compile_all, listening
from bench.fanout.servers import SOCKET, lines
from bench.people import enter, open_rooms
from bench.phones import BASE
from bench.report import Report, spread
from chaos.redis_program import find_redis
from devsecrets import fill
from settings import Settings

ROOT = Path(__file__).parents[1]
PORT, REDIS = 18_766, 18_767
PEOPLE, RUNS, EVENTS, IDLE_SECONDS = 1_000, 3, 100, 5.0
TICKS = os.sysconf("SC_CLK_TCK")


async def run(report: Report, uri: str, folder: Path) -> None:
    report.section(
        "How it grows",
        f"{PEOPLE:,} people listen to `server.py`: one process, or a supervisor with workers, and "
        "Redis. One of them applies for the mic and withdraws, one call after the other: each is "
        "a call, a transaction and an event. The CPU time of all processes of the server, less "
        f"what they use when nothing happens (once, {IDLE_SECONDS:.0f} s), over {EVENTS} "
        f"events; {RUNS} runs. `bench/growth.py`.",
    )
    try:
        program, _ = compile_all(folder)
    except NoCompiler:
        report.words("Not measured: there is no C compiler (`cc`) here.")
        return
    rows = []
    for workers, rooms in ((1, 1), (2, 1), (4, 1), (1, 100), (4, 100)):
        with report.timed(f"growth: {workers} workers, {rooms} rooms"):
            rows.append(await _measure(uri, folder, program, workers, rooms))
    heads = ["", "an event [ms of CPU]", "by members there [µs]", "Redis, an event [ms]"]
    heads += ["with nothing to do [% of a core]"]
    report.table(heads, rows)


async def _measure(
    uri: str, folder: Path, program: Path, workers: int, rooms: int
) -> tuple[str, ...]:
    database = f"bench_growth_{workers}_{rooms}"
    opened = await open_rooms(uri, database, rooms)
    where = [opened[n % rooms] for n in range(PEOPLE)]
    said = await enter(uri, database, where)
    tokens = folder / "growth-tokens"
    tokens.write_text(lines(where, said))
    members = PEOPLE // rooms
    crowd = [str(program), "-j", "-w", "16", "-p", SOCKET, "-t", str(tokens), str(PORT), "0"]
    async with _serving(uri, database, workers, folder) as pids, listening([*crowd, str(PEOPLE)]):
        idle = await _spent(pids, asyncio.sleep(IDLE_SECONDS))
        await _act(said[0], where[0].live_id, EVENTS // 5)  # warm
        costs = [await _cost(pids, idle, said[0], where[0].live_id) for _ in range(RUNS)]
    server, redis = [cost for cost, _ in costs], [cost for _, cost in costs]
    return (
        f"{workers} {'workers' if workers > 1 else 'process'}, {rooms} rooms of {members:,}",
        spread([cost * 1e3 for cost in server], 2),
        spread([cost * 1e6 / members for cost in server], 1),
        spread([cost * 1e3 for cost in redis], 2),
        f"{idle[0] * 100:.1f}",
    )


Spent = tuple[float, float]
"""Seconds of CPU a second (or an event), of the server and of Redis."""


async def _spent(pids: tuple[int, int], work: Awaitable[object]) -> Spent:
    before, began = (_cpu(pids[0]), used(pids[1])), time.monotonic()
    await work
    seconds = time.monotonic() - began
    return (_cpu(pids[0]) - before[0]) / seconds, (used(pids[1]) - before[1]) / seconds


async def _cost(pids: tuple[int, int], idle: Spent, token: str, live_id: int) -> Spent:
    began = time.monotonic()
    server, redis = await _spent(pids, _act(token, live_id, EVENTS))
    each = (time.monotonic() - began) / EVENTS
    return (server - idle[0]) * each, (redis - idle[1]) * each


async def _act(token: str, live_id: int, events: int) -> None:
    headers = {"Authorization": f"QLiveToken {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{PORT}", headers=headers) as http:
        for number in range(events):
            act = ("apply", "refuse")[number % 2]
            path = f"{BASE}qlive_room/{act}_micro/"
            async with http.post(path, json={"live_id": live_id}) as answer:
                answer.raise_for_status()


def _cpu(supervisor: int) -> float:
    """Seconds that it and its workers have used."""
    return sum(used(pid) for pid in [supervisor, *_children(supervisor)])


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def used(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.asynccontextmanager
async def _serving(
    uri: str, database: str, workers: int, folder: Path
) -> AsyncIterator[tuple[int, int]]:
    """The pids of the server (or its supervisor) and of Redis, once the port answers."""
    fill(Settings(), folder / "dev-secrets.json")  # they stand beside the data
    given = {
        "QLIVE_ENVIRONMENT": "development",
        "QLIVE_SERVER__PORT": str(PORT),
        "QLIVE_SERVER__WORKERS": str(workers),
        "QLIVE_SERVER__DRAIN_SECONDS": "1",
        "QLIVE_REDIS__URL": f"redis://127.0.0.1:{REDIS}/0",
        "QLIVE_MONGODB__URI": uri,
        "QLIVE_MONGODB__DATABASE": database,
        "QLIVE_MONGODB__DATA_DIR": str(folder / "mongo"),
        "QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0",
        "QLIVE_REALTIME__SILENT_SECONDS": "3600",
        "QLIVE_LOGGING__JSON": "true",
    }
    redis = [find_redis(), "--port", str(REDIS), "--save", ""]
    serve = [sys.executable, "server.py"]
    with (folder / "growth.log").open("wb") as log:
        async with (
            _program(redis, {}, log.fileno()) as beside,
            _program(serve, given, log.fileno()) as server,
        ):
            await _ready()
            yield server, beside


@contextlib.asynccontextmanager
async def _program(command: list[str], given: Mapping[str, str], log: int) -> AsyncIterator[int]:
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("QLIVE_")}
    program = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**inherited, **given}, stdout=log, stderr=log
    )
    try:
        yield program.pid
    finally:
        program.terminate()
        await program.wait()


async def _ready() -> None:
    deadline = time.monotonic() + 30
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{PORT}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise TimeoutError("the server does not answer")
