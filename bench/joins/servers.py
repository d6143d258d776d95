"""The peers of the benchmark of joins, each a process of its own."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bench.fanout.crowd import read_line, running_process
from bench.peers import Peers
from bench.server_process import ROOT

QLIVE, TORNADO, FASTAPI = "QLive", "Tornado", "FastAPI"


class Peer(NamedTuple):
    """A running peer."""

    pid: int
    port: int


def peer_modules(peers: Peers) -> Mapping[str, str]:
    """Modules of `bench.joins.peers` by name, without those that are not installed."""
    modules = {TORNADO: "tornado_"}
    if {"FastAPI", "websockets"} <= peers.versions.keys():
        modules[FASTAPI] = "fastapi_"
    return modules


@asynccontextmanager
async def running_peer(module: str, uri: str, database: str, folder: Path) -> AsyncIterator[Peer]:
    """Run a peer; yields once it listens."""
    command = [sys.executable, "-m", f"bench.joins.peers.{module}", uri, database]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / f"join-{module}.log").open("ab") as log:
        async with running_process(command, environment, log.fileno()) as process:
            yield Peer(process.pid, int(await read_line(process)))
