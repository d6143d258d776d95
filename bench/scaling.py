"""CPU time per event and while idle, by rooms."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path

import aiohttp

from bench.api_client import BASE_PATH
from bench.fanout.crowd import CompilerMissing, compile_programs, listening_crowd
from bench.fanout.servers import QLIVE_SOCKET_PATH, token_lines
from bench.fixtures import create_live_rooms, create_viewers
from bench.report import BenchmarkReport, spread
from chaos.redis_program import find_redis
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.no_limits import NO_LIMITS_ENVIRONMENT

ROOT = Path(__file__).parents[1]
PORT, REDIS_PORT = 18_760, 18_767
SOCKETS, RUNS, EVENTS, IDLE_SECONDS = 1_000, 3, 100, 5.0
ROOMS = (1, 100)
TICKS = os.sysconf("SC_CLK_TCK")


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    report.section(
        "Scaling",
        f"{SOCKETS:,} clients are connected to `server.py`, which uses Redis. One of them applies "
        "for the mic and withdraws, one request after another; each request is a transaction and "
        f"an event. The CPU time is that over {EVENTS} events, less the CPU time when idle "
        f"(measured once, for {IDLE_SECONDS:.0f} s); {RUNS} runs. `bench/scaling.py`.",
    )
    try:
        program, _ = compile_programs(folder)
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    rows = []
    for rooms in ROOMS:
        with report.timed(f"growth: {_layout(rooms)}"):
            rows.append(await _measure(uri, folder, program, rooms))
    header = ["", "CPU per event [ms]", "CPU per event and member [µs]"]
    header += ["Redis CPU per event [ms]", "idle CPU [% of a core]"]
    report.table(header, rows)


async def _measure(uri: str, folder: Path, program: Path, rooms: int) -> tuple[str, ...]:
    database = f"bench_scaling_{rooms}"
    live_rooms = await create_live_rooms(uri, database, rooms)
    user_rooms = [live_rooms[n % rooms] for n in range(SOCKETS)]
    tokens = await create_viewers(uri, database, user_rooms)
    token_file = folder / "scaling-tokens"
    token_file.write_text(token_lines(user_rooms, tokens))
    members = SOCKETS // rooms
    command = [str(program), "-j", "-w", "16", "-p", QLIVE_SOCKET_PATH, "-t", str(token_file)]
    command += [str(PORT), "0", str(SOCKETS)]
    async with running_servers(uri, database, folder) as pids, listening_crowd(command):
        idle = await cpu_rates(pids, asyncio.sleep(IDLE_SECONDS))
        await _apply_and_withdraw(tokens[0], user_rooms[0].live_id, EVENTS // 5)  # warm-up
        costs = [
            await _cost_per_event(pids, idle, tokens[0], user_rooms[0].live_id) for _ in range(RUNS)
        ]
    server, redis = [cost for cost, _ in costs], [cost for _, cost in costs]
    return (
        f"{_layout(rooms)} of {members:,}",
        spread([cost * 1e3 for cost in server], 2),
        spread([cost * 1e6 / members for cost in server], 1),
        spread([cost * 1e3 for cost in redis], 2),
        f"{idle[0] * 100:.1f}",
    )


def _layout(rooms: int) -> str:
    return f"{rooms} room{'s' if rooms > 1 else ''}"


CpuCost = tuple[float, float]
"""CPU seconds per second (or per event) of (the server, Redis)."""


async def cpu_rates(pids: tuple[int, int], work: Awaitable[object]) -> CpuCost:
    """CPU time of (the server, Redis) per second of the work."""
    server_before, redis_before = cpu_seconds(pids[0]), cpu_seconds(pids[1])
    started = time.monotonic()
    await work
    seconds = time.monotonic() - started
    server = cpu_seconds(pids[0]) - server_before
    redis = cpu_seconds(pids[1]) - redis_before
    return server / seconds, redis / seconds


async def _cost_per_event(
    pids: tuple[int, int], idle: CpuCost, token: str, live_id: int
) -> CpuCost:
    started = time.monotonic()
    server, redis = await cpu_rates(pids, _apply_and_withdraw(token, live_id, EVENTS))
    seconds_per_event = (time.monotonic() - started) / EVENTS
    return (server - idle[0]) * seconds_per_event, (redis - idle[1]) * seconds_per_event


async def _apply_and_withdraw(token: str, live_id: int, events: int) -> None:
    headers = {"Authorization": f"QLiveToken {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{PORT}", headers=headers) as http:
        for number in range(events):
            action = ("apply", "refuse")[number % 2]
            path = f"{BASE_PATH}qlive_room/{action}_micro/"
            async with http.post(path, json={"live_id": live_id}) as response:
                response.raise_for_status()


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.asynccontextmanager
async def running_servers(
    uri: str,
    database: str,
    folder: Path,
) -> AsyncIterator[tuple[int, int]]:
    """Start Redis and the server; yield the pids of both once ready."""
    fill_in_secrets(Settings(), folder / "dev-secrets.json")  # stored beside data_dir
    env = {
        **NO_LIMITS_ENVIRONMENT,
        "QLIVE_ENVIRONMENT": "development",
        "QLIVE_SERVER__PORT": str(PORT),
        "QLIVE_SERVER__DRAIN_SECONDS": "1",
        "QLIVE_REDIS__URL": f"redis://127.0.0.1:{REDIS_PORT}/0",
        "QLIVE_MONGODB__URI": uri,
        "QLIVE_MONGODB__DATABASE": database,
        "QLIVE_MONGODB__DATA_DIR": str(folder / "mongo"),
        "QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0",
        "QLIVE_REALTIME__SILENT_SECONDS": "3600",
        "QLIVE_LOGGING__JSON": "true",
    }
    redis_command = [find_redis(), "--port", str(REDIS_PORT), "--save", ""]
    server_command = [sys.executable, "server.py"]
    with (folder / "scaling.log").open("wb") as log:
        async with (
            running_process(redis_command, {}, log.fileno()) as redis_pid,
            running_process(server_command, env, log.fileno()) as server_pid,
        ):
            await _wait_ready()
            yield server_pid, redis_pid


@contextlib.asynccontextmanager
async def running_process(
    command: list[str], env: Mapping[str, str], log: int
) -> AsyncIterator[int]:
    """Run a program without our settings; yields its pid, and ends it with SIGTERM."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("QLIVE_")}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**inherited, **env}, stdout=log, stderr=log
    )
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _wait_ready() -> None:
    deadline = time.monotonic() + 30
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{PORT}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise TimeoutError("server.py was not ready within 30 s")
