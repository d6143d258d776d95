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
from bench.processes import read_line, running_process
from chaos.tencent import SharedTencent
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets

TENCENT = "BENCH_TENCENT"
"""Environment variable with the address of the simulated WeChat and Tencent, if they are outside
the server."""
SETTINGS = "BENCH_SETTINGS"
"""Environment variable with further settings, as JSON."""


class Side(NamedTuple):
    """A measured server: a module of bench/calls/peers, of a checkout.

    `fixture`: a function of bench/fixtures.py that prepares its database further.
    """

    module: str = "qlive"
    checkout: Checkout = Checkout()
    settings: Mapping[str, Any] = MappingProxyType({})
    fixture: str = ""


class Server(NamedTuple):
    """A server that listens.

    It is suspended while it is not measured: what QLive does after a response, as sending a
    change to IM, must not run beside another server.
    """

    port: int
    process: asyncio.subprocess.Process

    def suspend(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def resumed(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.suspend()


@contextlib.asynccontextmanager
async def running_server(
    side: Side, uri: str, database: str, folder: Path, tencent: str = ""
) -> AsyncIterator[Server]:
    """Start a server; yields once it listens."""
    checkout, variables = side.checkout, {SETTINGS: json.dumps({**side.settings})}
    command = checkout.command(f"bench.calls.peers.{side.module}", uri, database, str(folder))
    if tencent:
        variables[TENCENT] = tencent
    environment, log = checkout.environment(variables), folder / f"{database}.log"
    async with running_process(command, environment, checkout.root, log) as process:
        yield Server(int(await read_line(process)), process)


@contextlib.asynccontextmanager
async def running_servers(
    sides: Mapping[str, Side], uri: str, databases: Mapping[str, str], folder: Path
) -> AsyncIterator[dict[str, Server]]:
    """Start the servers, all of which are suspended; `databases` by the name of the server.

    WeChat and Tencent are simulated in this process, which has nothing else to do meanwhile.
    """
    tencent = SharedTencent(*fill_in_secrets(Settings(), folder / "dev-secrets.json"))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(tencent.stop)
        servers = {}
        for name, side in sides.items():
            running = running_server(side, uri, databases[name], folder, tencent.address)
            servers[name] = await stack.enter_async_context(running)
            servers[name].suspend()
        yield servers
