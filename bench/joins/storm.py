"""The clients of a killed process reconnect at once to the other one."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from bench.calls.case import run_load
from bench.calls.guests import Guest
from bench.calls.requests import read_request, write_request_file
from bench.joins.clients import Members, age_tokens, connected_crowd, create_members
from bench.report import BenchmarkReport, ratios
from bench.scaling import cpu_seconds
from bench.server_process import redis_process, server_process

KILLED_PORT, PORT, REDIS_PORT = 18_768, 18_769, 18_767
CLIENTS, ROOMS, RUNS = 10_000, 100, 3
CALLERS, PAUSE_MS, CALL_SECONDS = 64, 300, 4.0
CALL_START_SECONDS = 0.1
"""Time for the callers to connect before the kill."""
PATH = "qlive_user/get_user_state/"


class Storm(NamedTuple):
    """Figures of one kill."""

    seconds: float
    """From the kill to the last `resumed`."""
    cpu: float
    """CPU seconds of the remaining process."""
    resumed: int
    p99_before: float
    p99_during: float
    """p99 of the calls [ms] by other users."""


async def run(report: BenchmarkReport, uri: str, folder: Path, program: Path, load: Path) -> None:
    members = await create_members(uri, "bench_storm", folder, users=CLIENTS, rooms=ROOMS)
    calls = folder / "storm-calls"
    guests = [
        Guest(room.live_id, token, room.host_id)
        for room, token in zip(members.rooms[:CALLERS], members.tokens[:CALLERS], strict=True)
    ]
    write_request_file(calls, [read_request(PATH, guest) for guest in guests])
    storms = [await _storm(uri, folder, program, load, members, calls) for _ in range(RUNS)]
    _report(report, storms)


async def _storm(
    uri: str, folder: Path, program: Path, load: Path, members: Members, calls: Path
) -> Storm:
    settings = {
        "QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0",
        "QLIVE_LOGGING__JSON": "true",
        "QLIVE_REDIS__URL": f"redis://127.0.0.1:{REDIS_PORT}/0",
        "QLIVE_REALTIME__SILENT_SECONDS": "3600",
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(redis_process(REDIS_PORT, folder))
        killed, remaining = [
            await stack.enter_async_context(
                server_process(uri, members.database, folder, port, settings)
            )
            for port in (KILLED_PORT, PORT)
        ]
        first = connected_crowd(program, KILLED_PORT, members.first_time, CLIENTS, 256)
        await stack.enter_async_context(first)
        await age_tokens(uri, members.database)

        async def call() -> float:
            return (await run_load(load, PORT, calls, CALL_SECONDS, CALLERS, PAUSE_MS))["p99"]

        await call()  # warm-up
        p99_before = await call()
        calling = asyncio.create_task(call())
        await asyncio.sleep(CALL_START_SECONDS)
        cpu_before, killed_at = cpu_seconds(remaining.pid), time.monotonic()
        killed.kill()
        again = connected_crowd(program, PORT, members.again, CLIENTS, CLIENTS)
        opening = await stack.enter_async_context(again)
        seconds = time.monotonic() - killed_at
        cpu = cpu_seconds(remaining.pid) - cpu_before
        return Storm(seconds, cpu, opening.resumed, p99_before, await calling)


def _report(report: BenchmarkReport, storms: list[Storm]) -> None:
    report.subsection(
        "10,000 clients after kill -9 of one of two processes",
        f"{CLIENTS:,} clients in {ROOMS} rooms are connected to one of two server processes, which "
        "share Redis. It is killed, and all of them connect to the other one at once and resume, "
        "with one event missed and a token that was last used two hours ago. "
        f"Meanwhile {CALLERS} users call get_user_state there, each {PAUSE_MS} ms after the "
        f"previous response. {RUNS} runs.",
    )
    before, during = [it.p99_before for it in storms], [it.p99_during for it in storms]
    report.spread_table(
        [
            ("from the kill until all have resumed [s]", [it.seconds for it in storms], 1),
            ("resumed", [it.resumed for it in storms], 0),
            ("CPU of the remaining process [s]", [it.cpu for it in storms], 1),
            ("p99 of the calls before [ms]", before, 1),
            ("p99 of the calls meanwhile [ms]", during, 1),
            ("meanwhile : before", ratios(during, before), 2),
        ]
    )
