"""The clients of a killed process reconnect at once to another one."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.calls.measure import run_load
from bench.calls.requests import read_request, write_request_file
from bench.checkout import Checkout
from bench.fanout.crowd import read_line, running_process
from bench.fanout.servers import QLIVE_SOCKET_PATH
from bench.report import BenchmarkReport
from bench.scale import Scale
from bench.server_process import redis_process, server_process

KILLED_PORT, PORT, REDIS_PORT = 18_768, 18_769, 18_767
DATABASE, ROOMS = "bench_storm", 100
CALLERS, PAUSE_MS, CALL_SECONDS, WARM_UP_SECONDS = 64, 300, 4.0, 1.0
CALL_START_SECONDS = 0.1
"""Time for the callers to connect before the kill."""
PATH = "qlive_user/get_user_state/"
SETTINGS = {
    "QLIVE_LOGGING__JSON": "true",
    "QLIVE_REDIS__URL": f"redis://127.0.0.1:{REDIS_PORT}/0",
    "QLIVE_REALTIME__HEARTBEAT_SECONDS": "1200",
}
TICKS = os.sysconf("SC_CLK_TCK")


class Storm(NamedTuple):
    """Figures of one reconnection of all clients."""

    seconds: float
    """From the kill to the last `resumed`."""
    cpu: float
    """CPU seconds of the server that they connect to."""
    resumed: int
    p99_before: float
    p99_during: float
    """p99 of the calls [ms] by other users."""


ROWS = {
    "seconds": ("from the kill until all have resumed [s]", 1),
    "resumed": ("resumed", 0),
    "cpu": ("CPU of the process they connect to [s]", 1),
    "p99_before": ("p99 of the calls before [ms]", 1),
    "p99_during": ("p99 of the calls meanwhile [ms]", 1),
}
"""Label and digits by field of Storm."""


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

    async def reconnect(self) -> Storm:
        """Connect all clients to one of two servers, and kill it."""
        checkout = Checkout()
        await checkout.call_fixture("disconnect_members", self.uri, DATABASE)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(redis_process(REDIS_PORT, self.folder))
            killed, remaining = [
                await stack.enter_async_context(
                    server_process(self.uri, DATABASE, self.folder, port, SETTINGS)
                )
                for port in (KILLED_PORT, PORT)
            ]
            await stack.enter_async_context(self._crowd("join", KILLED_PORT, 256))
            await checkout.call_fixture("age_tokens", self.uri, DATABASE)
            await self._p99_of_calls(WARM_UP_SECONDS)
            p99_before = await self._p99_of_calls()
            calling = asyncio.create_task(self._p99_of_calls())
            await asyncio.sleep(CALL_START_SECONDS)
            cpu, started_at = cpu_seconds(remaining.pid), time.monotonic()
            killed.kill()
            async with self._crowd("resume", PORT, self.count) as resumed:
                seconds, cpu = time.monotonic() - started_at, cpu_seconds(remaining.pid) - cpu
                return Storm(seconds, cpu, resumed, p99_before, await calling)

    @contextlib.asynccontextmanager
    async def _crowd(self, file: str, port: int, window: int) -> AsyncIterator[int]:
        """Connect all clients, `window` at a time; yields the number that has resumed."""
        options = ["-j", "-w", str(window), "-p", QLIVE_SOCKET_PATH, "-t", str(self.folder / file)]
        command = [str(self.program), *options, str(port), "0", str(self.count)]
        async with running_process(command) as crowd:
            yield json.loads(await read_line(crowd))["resumed"]

    async def _p99_of_calls(self, seconds: float = CALL_SECONDS) -> float:
        calls = self.folder / "calls"
        result = await run_load(self.load, PORT, calls, seconds, CALLERS, PAUSE_MS)
        return result["p99"]


async def run(
    report: BenchmarkReport, uri: str, folder: Path, programs: tuple[Path, Path], scale: Scale
) -> None:
    """`programs`: the crowd, and the load generator."""
    clients = StormClients(uri, folder, *programs, scale.clients)
    await clients.prepare()
    storms = [await clients.reconnect() for _ in range(scale.storms)]
    report.subsection(
        f"{scale.clients:,} clients after kill -9 of one of two processes",
        f"{scale.clients:,} clients in {ROOMS} rooms are connected to one of two server processes, "
        "which share Redis. It is killed, and all of them connect to the other one at once and "
        "resume, with one event missed and a token that was last used two hours ago. Meanwhile "
        f"{CALLERS} users call get_user_state there, each {PAUSE_MS} ms after the previous "
        f"response. {scale.storms} runs.",
    )
    report.spread_table(
        [
            (label, [getattr(storm, field) for storm in storms], digits)
            for field, (label, digits) in ROWS.items()
        ]
    )


def cpu_seconds(pid: int) -> float:
    """CPU seconds, user and system, that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
