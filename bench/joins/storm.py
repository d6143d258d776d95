"""The clients of a killed process reconnect at once to another one, compared with peers."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.calls.case import WARM_UP_SECONDS, run_load
from bench.calls.guests import Guest
from bench.calls.requests import read_request, write_request_file
from bench.fixtures import disconnect_members
from bench.joins.clients import CrowdRefused, Members, age_tokens, connected_crowd, create_members
from bench.joins.servers import QLIVE, peer_modules, running_peer
from bench.peers import Peers
from bench.report import BenchmarkReport, spread
from bench.scaling import cpu_seconds
from bench.server_process import redis_process, server_process

KILLED_PORT, PORT, REDIS_PORT = 18_768, 18_769, 18_767
CLIENTS, ROOMS, RUNS = 10_000, 100, 3
CALLERS, PAUSE_MS, CALL_SECONDS = 64, 300, 4.0
CALL_START_SECONDS = 0.1
"""Time for the callers to connect before the kill."""
PEER_SECONDS = 60.0
"""Time limit of a peer, which has one run only: it takes several times as long as QLive."""
PATH = "qlive_user/get_user_state/"


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

    @property
    def slowdown(self) -> float:
        return self.p99_during / self.p99_before


ROWS = {
    "seconds": ("from the kill until all have resumed [s]", 1),
    "resumed": ("resumed", 0),
    "cpu": ("CPU of the process they connect to [s]", 1),
    "p99_before": ("p99 of the calls before [ms]", 1),
    "p99_during": ("p99 of the calls meanwhile [ms]", 1),
    "slowdown": ("meanwhile : before", 2),
}
"""Label and digits by field of Storm."""


@dataclass(frozen=True, slots=True)
class StormClients:
    """The clients that reconnect, and the users who send requests meanwhile."""

    program: Path
    load: Path
    members: Members
    calls: Path
    """Request file of the users who send requests."""

    async def reconnect(
        self, pid: int, port: int, kill: Callable[[], object], limit: float | None = None
    ) -> Storm:
        """Connect all clients at once, after `kill`, to the server `pid`.

        Raises CrowdRefused, or TimeoutError if it takes more than `limit` seconds.
        """
        await self._p99_of_calls(port, WARM_UP_SECONDS)
        p99_before = await self._p99_of_calls(port)
        calling = asyncio.create_task(self._p99_of_calls(port))
        await asyncio.sleep(CALL_START_SECONDS)
        cpu_before, started_at = cpu_seconds(pid), time.monotonic()
        kill()
        crowd = connected_crowd(self.program, port, self.members.again, CLIENTS, CLIENTS)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(limit):
                    opening = await stack.enter_async_context(crowd)
                seconds, cpu = time.monotonic() - started_at, cpu_seconds(pid) - cpu_before
                return Storm(seconds, cpu, opening.resumed, p99_before, await calling)
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    async def _p99_of_calls(self, port: int, seconds: float = CALL_SECONDS) -> float:
        result = await run_load(self.load, port, self.calls, seconds, CALLERS, PAUSE_MS)
        return result["p99"]


async def run(
    report: BenchmarkReport, peers: Peers, uri: str, folder: Path, program: Path, load: Path
) -> None:
    members = await create_members(uri, "bench_storm", folder, users=CLIENTS, rooms=ROOMS)
    calls = folder / "storm-calls"
    guests = [
        Guest(room.live_id, token, room.host_id)
        for room, token in zip(members.rooms[:CALLERS], members.tokens[:CALLERS], strict=True)
    ]
    write_request_file(calls, [read_request(PATH, guest) for guest in guests])
    clients = StormClients(program, load, members, calls)
    storms = {QLIVE: [await _storm_of_qlive(uri, folder, clients)]}
    failures: dict[str, str] = {}
    for name, module in peer_modules(peers).items():
        try:
            storms[name] = [await _storm_of_peer(uri, folder, clients, module)]
        except CrowdRefused:
            failures[name] = "it has refused a client"
        except TimeoutError:
            failures[name] = f"not all clients have resumed within {PEER_SECONDS:.0f} s"
    for _ in range(RUNS - 1):
        storms[QLIVE].append(await _storm_of_qlive(uri, folder, clients))
    _report(report, storms, failures)


async def _storm_of_qlive(uri: str, folder: Path, clients: StormClients) -> Storm:
    settings = {
        "QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0",
        "QLIVE_LOGGING__JSON": "true",
        "QLIVE_REDIS__URL": f"redis://127.0.0.1:{REDIS_PORT}/0",
        "QLIVE_REALTIME__SILENT_SECONDS": "3600",
    }
    members = clients.members
    await disconnect_members(uri, members.database)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(redis_process(REDIS_PORT, folder))
        killed, remaining = [
            await stack.enter_async_context(
                server_process(uri, members.database, folder, port, settings)
            )
            for port in (KILLED_PORT, PORT)
        ]
        first = connected_crowd(clients.program, KILLED_PORT, members.first_time, CLIENTS, 256)
        await stack.enter_async_context(first)
        await age_tokens(uri, members.database)
        return await clients.reconnect(remaining.pid, PORT, killed.kill)


async def _storm_of_peer(uri: str, folder: Path, clients: StormClients, module: str) -> Storm:
    """Without a killed process: the processes of a peer share nothing but MongoDB."""
    await disconnect_members(uri, clients.members.database)
    async with running_peer(module, uri, clients.members.database, folder) as peer:
        return await clients.reconnect(peer.pid, peer.port, lambda: None, PEER_SECONDS)


def _report(
    report: BenchmarkReport, storms: Mapping[str, list[Storm]], failures: Mapping[str, str]
) -> None:
    report.subsection(
        "10,000 clients after kill -9 of one of two processes",
        f"{CLIENTS:,} clients in {ROOMS} rooms are connected to one of two server processes, which "
        "share Redis. It is killed, and all of them connect to the other one at once and resume, "
        "with one event missed and a token that was last used two hours ago. "
        "With a peer, they connect at once to a new process, and the ratio is that to QLive's run "
        "before. "
        f"Meanwhile {CALLERS} users call get_user_state there, each {PAUSE_MS} ms after the "
        f"previous response. {RUNS} runs of QLive, one of each peer.",
    )
    rows = [
        (
            label,
            *(spread([getattr(it, field) for it in runs], digits) for runs in storms.values()),
        )
        for field, (label, digits) in ROWS.items()
    ]
    first_seconds = {name: runs[0].seconds for name, runs in storms.items()}
    relative = [f"{first_seconds[QLIVE] / seconds:.2f}" for seconds in first_seconds.values()]
    report.table(["", *storms], [*rows, ("seconds, QLive : server", *relative)])
    for name, reason in failures.items():
        report.paragraph(f"{name} is not in the table: {reason}.")
