"""The compared servers: each is a process, and only the measured one runs."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from bench.checkout import Checkout
from bench.server_process import cpu_seconds
from chaos.tencent import SharedTencent
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets

TENCENT = "BENCH_TENCENT"
"""Environment variable with the address of the simulated WeChat and Tencent."""
SETTINGS = "BENCH_SETTINGS"
"""Environment variable with further settings, as JSON."""


class Side(NamedTuple):
    """A measured server: a module of bench/calls/peers, of a checkout.

    `fixture`: a function of bench/fixtures.py that prepares its database further.
    """

    module: str
    checkout: Checkout = Checkout()
    settings: Mapping[str, Any] = MappingProxyType({})
    fixture: str = ""


class Servers:
    """Servers by name. They are suspended while they are not measured: what QLive does after a
    response, as sending a change to IM, must not run beside another server."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(
        self, name: str, side: Side, uri: str, database: str, folder: Path, tencent: str
    ) -> None:
        """Start a server, and suspend it once it listens."""
        checkout, module = side.checkout, f"bench.calls.peers.{side.module}"
        with (folder / f"{database}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *checkout.command(module, uri, database, str(folder)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=checkout.root,
                env=checkout.environment(
                    {TENCENT: tencent, SETTINGS: json.dumps({**side.settings})}
                ),
            )
        self._processes[name] = process
        assert process.stdout
        self.ports[name] = int(await process.stdout.readline())
        process.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[int]:
        """Let a server run; yields its port."""
        self._processes[name].send_signal(signal.SIGCONT)
        try:
            yield self.ports[name]
        finally:
            self._processes[name].send_signal(signal.SIGSTOP)

    def cpu_seconds(self, name: str) -> float:
        """CPU time that a server has used."""
        return cpu_seconds(self._processes[name].pid)

    async def kill(self) -> None:
        for process in self._processes.values():
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def simulated_tencent(folder: Path) -> AsyncIterator[str]:
    """WeChat and Tencent in this process, which has nothing else to do meanwhile; their address."""
    tencent = SharedTencent(*fill_in_secrets(Settings(), folder / "dev-secrets.json"))
    try:
        yield tencent.address
    finally:
        await tencent.stop()


@contextlib.asynccontextmanager
async def running_servers(
    sides: Mapping[str, Side], uri: str, databases: Mapping[str, str], folder: Path
) -> AsyncIterator[Servers]:
    """Start the servers, and kill them on exit; `databases` by the name of the server."""
    servers = Servers()
    async with simulated_tencent(folder) as tencent:
        try:
            for name, side in sides.items():
                await servers.start(name, side, uri, databases[name], folder, tencent)
            yield servers
        finally:
            await servers.kill()
