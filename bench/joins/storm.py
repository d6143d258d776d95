"""The clients of a killed process reconnect at once to another one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.benchmark import Benchmark
from bench.calls.measure import compile_load, run_load
from bench.calls.requests import read_request, write_request_file
from bench.calls.servers import Side, running_server
from bench.checkout import Checkout
from bench.fanout.servers import QLIVE_SOCKET_PATH
from bench.processes import cpu_seconds, read_line, running_process
from tests.support.no_limits import NO_LIMITS
from tests.support.redis_server import RedisServer

DATABASE, ROOMS = "bench_storm", 100
CALLERS, PAUSE_MS, CALL_SECONDS, WARM_UP_SECONDS = 64, 300, 4.0, 1.0
CALL_START_SECONDS = 0.1
"""Time for the callers to connect before the kill."""
PATH = "qlive_user/get_user_state/"
SETTINGS: dict[str, Any] = {"limits": NO_LIMITS, "realtime": {"heartbeat_seconds": 1200}}
FIGURES = (
    ("from the kill until all have resumed [s]", 1),
    ("resumed", 0),
    ("CPU of the process they connect to [s]", 1),
    ("p99 of the calls before [ms]", 1),
    ("p99 of the calls meanwhile [ms]", 1),
)
"""Label and digits of each figure of a reconnection; the calls are those of other users."""


@dataclass(frozen=True, slots=True)
class StormClients:
    """The clients that reconnect, and the users who send requests meanwhile."""

    uri: str
    folder: Path
    program: Path
    load: Path
    count: int

    async def prepare(self) -> None:
        """Write users and rooms to MongoDB, and the files of the load generators."""
        guests = await Checkout().create_guests(self.uri, DATABASE, ROOMS, self.count)
        joins = [f"{guest.token} {guest.live_id}" for guest in guests]
        resumes = [
            f"{line}&since={guest.version - 1}&epoch={guest.epoch}"
            for line, guest in zip(joins, guests, strict=True)
        ]
        for name, lines in (("join", joins), ("resume", resumes)):
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        write_request_file(
            self.folder / "calls", [read_request(PATH, guest) for guest in guests[:CALLERS]]
        )

    async def reconnect(self) -> tuple[float, ...]:
        """Connect all clients to one of two servers, and kill it; returns the figures."""
        checkout, redis = Checkout(), RedisServer()
        await checkout.call_fixture("disconnect_members", self.uri, DATABASE)
        redis.start()
        side = Side(settings={**SETTINGS, "redis": {"url": redis.url}})
        async with AsyncExitStack() as stack:
            stack.callback(redis.kill)
            killed, remaining = [
                await stack.enter_async_context(
                    running_server(side, self.uri, DATABASE, self.folder)
                )
                for _ in range(2)
            ]
            await stack.enter_async_context(self._crowd("join", killed.port, 256))
            await checkout.call_fixture("age_tokens", self.uri, DATABASE)
            await self._p99_of_calls(remaining.port, WARM_UP_SECONDS)
            p99_before = await self._p99_of_calls(remaining.port)
            calling = asyncio.create_task(self._p99_of_calls(remaining.port))
            await asyncio.sleep(CALL_START_SECONDS)
            pid = remaining.process.pid
            cpu, started_at = cpu_seconds(pid), time.monotonic()
            killed.process.kill()
            async with self._crowd("resume", remaining.port, self.count) as resumed:
                seconds, cpu = time.monotonic() - started_at, cpu_seconds(pid) - cpu
                return seconds, resumed, cpu, p99_before, await calling

    @asynccontextmanager
    async def _crowd(self, file: str, port: int, window: int) -> AsyncIterator[int]:
        """Connect all clients, `window` at a time; yields the number that has resumed."""
        options = ["-j", "-w", str(window), "-p", QLIVE_SOCKET_PATH, "-t", str(self.folder / file)]
        command = [str(self.program), *options, str(port), "0", str(self.count)]
        async with running_process(command) as crowd:
            yield json.loads(await read_line(crowd))["resumed"]

    async def _p99_of_calls(self, port: int, seconds: float = CALL_SECONDS) -> float:
        calls = self.folder / "calls"
        result = await run_load(self.load, port, calls, seconds, CALLERS, PAUSE_MS)
        return result["p99"]


async def run(benchmark: Benchmark, program: Path) -> None:
    """`program` is the crowd."""
    scale, load = benchmark.scale, compile_load(benchmark.folder)
    clients = StormClients(benchmark.uri, benchmark.folder, program, load, scale.clients)
    await clients.prepare()
    storms = [await clients.reconnect() for _ in range(scale.storms)]
    benchmark.report.subsection(
        f"{scale.clients:,} clients after kill -9 of one of two processes",
        f"{scale.clients:,} clients in {ROOMS} rooms are connected to one of two server processes, "
        "which share Redis. It is killed, and all of them connect to the other one at once and "
        "resume, with one event missed and a token that was last used two hours ago. Meanwhile "
        f"{CALLERS} users call get_user_state there, each {PAUSE_MS} ms after the previous "
        f"response. {scale.storms} runs.",
    )
    columns = zip(*storms, strict=True)
    benchmark.report.spread_table(
        [(label, values, digits) for (label, digits), values in zip(FIGURES, columns, strict=True)]
    )
