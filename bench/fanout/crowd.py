"""Runs the crowd of listeners (crowd.c) and the measured server as processes."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.fanout.servers import MeasuredServer
from bench.processes import compile_c, read_line, running_process

HERE = Path(__file__).parent
RUN_SECONDS = 300.0
SETTLE_SECONDS = 0.6
"""Pause before memory is read, for the server to free what the handshakes left behind."""


def compile_programs(folder: Path) -> tuple[Path, Path]:
    """Compile the program of the crowd, and the library of the C loop."""
    program = compile_c(HERE / "crowd.c", folder / "crowd")
    library = compile_c(HERE / "sendloop.c", folder / "sendloop.so", "-shared", "-fPIC")
    return program, library


@dataclass(frozen=True, slots=True)
class RunFigures:
    """Figures of one command: crowd latencies, server CPU and memory."""

    seconds: float
    deliveries: int
    latencies_ms: list[float]
    """By event: milliseconds from its request to its receipt by the last socket."""
    cpu_seconds: float
    """CPU time of the server."""
    blocked_ms: float
    """Maximum delay of the server's event loop."""
    rss: int

    @property
    def deliveries_per_cpu_second(self) -> float:
        return self.deliveries / self.cpu_seconds


class ListenerCrowd:
    """A running server and the crowd that is connected to it."""

    def __init__(
        self,
        crowd_process: asyncio.subprocess.Process,
        server_process: asyncio.subprocess.Process,
        opened: Mapping[str, Any],
    ) -> None:
        """Take `opened`, the first line that the crowd prints."""
        self.sockets = int(opened["sockets"])
        self.opening_seconds = float(opened["seconds"])
        self.opening_cpu = 0.0
        """CPU seconds of the server."""
        self.idle_bytes = 0.0
        """Memory of the server per idle socket."""
        self._crowd_process = crowd_process
        self._server_process = server_process
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def run(self, command: str) -> RunFigures:
        """Run a crowd command: `quiet COUNT MODE` or `busy COUNT RATE MODE`."""
        before = await self._server_usage()
        assert self._crowd_process.stdin
        assert self._crowd_process.stdout
        self._crowd_process.stdin.write(command.encode() + b"\n")
        async with asyncio.timeout(RUN_SECONDS):
            result_line = await self._crowd_process.stdout.readuntil(b"\n")
        after = await self._server_usage()
        result = json.loads(result_line)
        result.pop("crowd_cpu")
        return RunFigures(
            **result,
            cpu_seconds=after["cpu"] - before["cpu"],
            blocked_ms=after["blocked_ms"],
            rss=int(after["rss"]),
        )

    def pause(self) -> None:
        """Stop the server (SIGSTOP) while another is measured."""
        self._server_process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._server_process.send_signal(signal.SIGCONT)

    async def measure_opening(self, before: Mapping[str, Any]) -> None:
        """Record the cost of opening; `before` are the server's figures without sockets."""
        connecting = asyncio.open_connection("127.0.0.1", before["control"])
        self._reader, self._writer = await connecting
        self.opening_cpu = (await self._server_usage())["cpu"] - before["cpu"]
        await asyncio.sleep(SETTLE_SECONDS)
        rss = (await self._server_usage(b"G"))["rss"]
        self.idle_bytes = (rss - before["rss"]) / self.sockets

    async def _server_usage(self, query: bytes = b"L") -> dict[str, float]:
        """Query CPU, RSS and the worst loop delay since the last query (see control.py)."""
        self._writer.write(query)
        async with asyncio.timeout(RUN_SECONDS):
            usage: dict[str, float] = json.loads(await self._reader.readline())
        return usage


@contextlib.asynccontextmanager
async def connected_crowd(
    server: MeasuredServer,
    sockets: int,
    program: Path,
    *options: str,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[ListenerCrowd]:
    """Start a server, with these variables, and its crowd; yields once all are connected.

    The server prints {"port", "control", "rss", "cpu"} once it listens.
    """
    checkout = server.checkout
    starting = running_process(server.command, checkout.environment(variables), checkout.root)
    async with starting as process:
        startup = json.loads(await read_line(process))
        ports = [str(startup["port"]), str(startup["control"])]
        command = [str(program), *server.options, *options, *ports, str(sockets)]
        async with running_process(command) as crowd_process:
            opened = json.loads(await read_line(crowd_process))
            crowd = ListenerCrowd(crowd_process, process, opened)
            await crowd.measure_opening(startup)
            yield crowd
