"""Sockets of a room on one worker, or on any: Redis messages and CPU time per event."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import aiohttp
from redis.asyncio import Redis

from bench.api_client import BASE_PATH
from bench.fanout.crowd import CompilerMissing, compile_programs, listening_crowd
from bench.fanout.servers import QLIVE_SOCKET_PATH, token_lines
from bench.fixtures import create_live_rooms, create_viewers
from bench.report import BenchmarkReport, ratios, spread
from bench.scaling import PORT, REDIS_PORT, cpu_rates, running_process, running_servers

WORKERS, SOCKETS, RUNS, EVENTS, IDLE_SECONDS = 4, 1_000, 3, 200, 3.0
ROOMS = (100, 10)
ACTING_ROOMS = 10
"""Rooms in which events happen, one after the other."""
SETTLE_SECONDS = 1.5
PLACEMENTS = {"by room": ("hash $arg_live_id consistent;", 18_771), "random": ("random;", 18_772)}
"""By name: nginx's directive for the sockets, and the port on which it listens."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A member who applies for the mic and withdraws."""

    token: str
    live_id: int


@dataclass(frozen=True, slots=True)
class PlacementFigures:
    """What the runs of one placement gave."""

    published: list[float] = field(default_factory=list)
    """PUBLISH commands per event."""
    received: list[float] = field(default_factory=list)
    """Processes to which Redis sends an event."""
    server_ms: list[float] = field(default_factory=list)
    """CPU of the supervisor and its workers per event."""
    redis_ms: list[float] = field(default_factory=list)
    idle_percent: list[float] = field(default_factory=list)
    """CPU of the supervisor and its workers while nothing happens, of one core."""


async def run(report: BenchmarkReport, uri: str, folder: Path) -> None:
    report.section(
        "Placement of sockets",
        f"{SOCKETS:,} clients are connected through nginx to `server.py` with {WORKERS} workers "
        "and Redis: the sockets of a room to one worker (`hash $arg_live_id consistent`), or each "
        f"to any (`random`). One member of each of {ACTING_ROOMS} rooms applies for the mic and "
        "withdraws, one request after another, each on a new connection to any worker. CPU time "
        f"and PUBLISH commands over {EVENTS} events, less those when idle; the CPU time of nginx "
        f"is not counted. {RUNS} alternating runs. `bench/placement.py`.",
    )
    try:
        program, _ = compile_programs(folder)
    except CompilerMissing as error:
        report.paragraph(f"Not measured: {error}.")
        return
    rows = []
    for rooms in ROOMS:
        with report.timed(f"placement: {rooms} rooms"):
            figures = await _measure(uri, folder, program, rooms)
        baseline = figures["random"].server_ms
        for name, it in figures.items():
            cells = [spread(values, 2) for values in astuple(it)]
            relative = spread(ratios(it.server_ms, baseline), 2)
            rows.append((f"{rooms} rooms of {SOCKETS // rooms}, {name}", *cells, relative))
    header = ["", "PUBLISH per event", "processes that receive an event", "CPU per event [ms]"]
    header += ["Redis CPU per event [ms]", "idle CPU [% of a core]", "CPU relative to random"]
    report.table(header, rows)


async def _measure(
    uri: str, folder: Path, program: Path, rooms: int
) -> dict[str, PlacementFigures]:
    database = f"bench_placement_{rooms}"
    live_rooms = await create_live_rooms(uri, database, rooms)
    user_rooms = [live_rooms[n % rooms] for n in range(SOCKETS)]
    tokens = await create_viewers(uri, database, user_rooms)
    token_file = folder / "placement-tokens"
    token_file.write_text(token_lines(user_rooms, tokens))
    acting = zip(tokens[:ACTING_ROOMS], user_rooms, strict=False)
    actors = [Actor(token, room.live_id) for token, room in acting]
    options = ["-j", "-w", "16", "-p", QLIVE_SOCKET_PATH, "-t", str(token_file)]
    figures = {name: PlacementFigures() for name in PLACEMENTS}
    settings = {"QLIVE_SERVER__WORKER_PORTS": "true"}
    async with (
        running_servers(uri, database, WORKERS, folder, settings) as pids,
        _running_nginx(folder),
        Redis(port=REDIS_PORT) as redis,
    ):
        for _ in range(RUNS):
            for name, (_, port) in PLACEMENTS.items():
                async with listening_crowd([str(program), *options, str(port), "0", str(SOCKETS)]):
                    await asyncio.sleep(SETTLE_SECONDS)
                    await _measure_run(figures[name], pids, redis, database, actors, port)
    return figures


async def _measure_run(
    figures: PlacementFigures,
    pids: tuple[int, int],
    redis: "Redis",
    database: str,
    actors: Sequence[Actor],
    port: int,
) -> None:
    await _apply_and_withdraw(actors, port, EVENTS // 5)  # warm-up
    before = await _published(redis)
    idle = await cpu_rates(pids, asyncio.sleep(IDLE_SECONDS))
    idle_published = (await _published(redis) - before) / IDLE_SECONDS
    before, started = await _published(redis), time.monotonic()
    server, redis_rate = await cpu_rates(pids, _apply_and_withdraw(actors, port, EVENTS))
    seconds = time.monotonic() - started
    published = await _published(redis) - before - idle_published * seconds
    channels = [f"{database}:room:{actor.live_id}" for actor in actors]
    subscribers = [count for _, count in await redis.pubsub_numsub(*channels)]
    figures.published.append(published / EVENTS)
    figures.received.append(sum(subscribers) / len(subscribers))
    figures.server_ms.append((server - idle[0]) * seconds / EVENTS * 1e3)
    figures.redis_ms.append((redis_rate - idle[1]) * seconds / EVENTS * 1e3)
    figures.idle_percent.append(idle[0] * 100)


async def _published(redis: "Redis") -> int:
    """PUBLISH commands that Redis has executed."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_publish", {}).get("calls", 0))


async def _apply_and_withdraw(actors: Sequence[Actor], port: int, events: int) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        for number in range(events):
            actor, action = actors[number // 2 % len(actors)], ("apply", "refuse")[number % 2]
            headers = {"Authorization": f"QLiveToken {actor.token}"}
            path, body = f"{BASE_PATH}qlive_room/{action}_micro/", {"live_id": actor.live_id}
            async with http.post(path, json=body, headers=headers) as response:
                response.raise_for_status()


@contextlib.asynccontextmanager
async def _running_nginx(folder: Path) -> AsyncIterator[None]:
    """nginx in front of the workers, with a port for each placement."""
    config = folder / "placement-nginx.conf"
    config.write_text(_nginx_config(folder))
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "nginx"
    with (folder / "placement-nginx.log").open("wb") as log:
        async with running_process([program, "-c", str(config)], {}, log.fileno()):
            for _, port in PLACEMENTS.values():
                await _wait_listening(port)
            yield


async def _wait_listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def _nginx_config(folder: Path) -> str:
    workers = " ".join(f"server 127.0.0.1:{PORT + 1 + n};" for n in range(WORKERS))
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {folder}/{name}; " for name in temporary)
    sides = "".join(
        f"""
    upstream sockets_{port} {{ {directive} {workers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://servers; }}
        location {BASE_PATH}ws/ {{
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1h;
            proxy_pass http://sockets_{port};
        }}
    }}"""
        for directive, port in PLACEMENTS.values()
    )
    return f"""daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    {paths}
    access_log off;
    upstream servers {{ {workers} }}
    {sides}
}}
"""
