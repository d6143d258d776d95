"""A replica set of three mongods, whose primary can step down, be killed or be suspended."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from chaos.program import Program
from devtools.embedded_mongod import find_binary
from storage.replica_set import NAME, uri_of

MEMBERS = 3
READY_SECONDS = 60.0
COMMAND_MS = 10_000
CONNECT_MS = 1_000
"""Timeout of a connection to a member, which may be down or suspended."""
CACHE_GB = "0.25"
"""MongoDB's minimum."""
SETTINGS = {"electionTimeoutMillis": 4_000, "catchUpTimeoutMillis": 1_000}
"""Replication settings of docs/deploy.md."""
CONFIGURATION = Path(__file__).parents[1] / "deploy" / "mongod.conf"


class ReplicaSet:
    """Three mongods in `folder` with the replication settings of a deployment."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.ports = ports
        self.uri = f"mongodb://{','.join(f'127.0.0.1:{port}' for port in ports)}/?replicaSet={NAME}"
        self._folder = folder
        self._parameters = _deployed_parameters()
        self._members: dict[int, Program] = {}

    async def start(self) -> None:
        """Returns once it accepts writes, and every member follows the primary."""
        for port in self.ports:
            self._members[port] = self._member(port)
            self._members[port].start()
        hosts = [{"_id": n, "host": f"127.0.0.1:{port}"} for n, port in enumerate(self.ports)]
        config = {"_id": NAME, "members": hosts, "settings": SETTINGS}
        async with asyncio.timeout(READY_SECONDS):
            while await command(self.ports[0], "replSetInitiate", config) is None:
                await asyncio.sleep(0.1)
        await self.wait_in_sync()

    async def stop(self) -> None:
        """Kill all members: a shutdown takes 15 s, and their data are not used again."""
        for port in self._members:
            self.kill(port)
        await asyncio.gather(*(member.stop() for member in self._members.values()))

    async def primary(self) -> int:
        """Port of the member that accepts writes."""
        async with asyncio.timeout(READY_SECONDS):
            while True:
                for port in self.ports:
                    if (await command(port, "hello") or {}).get("isWritablePrimary"):
                        return port
                await asyncio.sleep(0.1)

    async def step_down(self, port: int) -> None:
        """Let the primary hand over to another member, as for maintenance."""
        await command(port, "replSetStepDown", 10)

    def kill(self, port: int) -> None:
        """kill -9; it stays down until `resume`."""
        self._members[port].hold_down()

    def freeze(self, port: int) -> None:
        """SIGSTOP: its connections stay open, and nothing answers, until `resume`."""
        self._members[port].send_signal(signal.SIGSTOP)

    async def resume(self, port: int) -> None:
        """Let a member continue; returns once all members are in sync."""
        self._members[port].send_signal(signal.SIGCONT)
        self._members[port].release()
        await self.wait_in_sync()

    async def wait_in_sync(self) -> None:
        """Wait until there is one primary, and every other member follows it."""
        expected = ["PRIMARY", *["SECONDARY"] * (len(self.ports) - 1)]
        async with asyncio.timeout(READY_SECONDS):
            while True:
                status = await command(await self.primary(), "replSetGetStatus") or {}
                states = sorted(member["stateStr"] for member in status.get("members", ()))
                if states == expected:
                    return
                await asyncio.sleep(0.1)

    def _member(self, port: int) -> Program:
        folder = self._folder / f"mongod-{port}"
        folder.mkdir(parents=True)
        options = [f"{name}={value}" for name, value in self._parameters.items()]
        return Program(
            [
                *(str(find_binary()), "--replSet", NAME, "--bind_ip", "127.0.0.1", "--quiet"),
                *("--port", str(port), "--dbpath", str(folder), "--nounixsocket"),
                *("--wiredTigerCacheSizeGB", CACHE_GB, "--oplogSize", "64"),
                *(word for option in options for word in ("--setParameter", option)),
            ],
            folder,
            os.environ,
            folder.with_suffix(".log"),
            ready_marker=b"Waiting for connections",
        )


async def command(port: int, name: str, value: Any = 1, **more: Any) -> dict[str, Any] | None:
    """The answer of one member; None if it refuses, or does not answer."""
    client = AsyncMongoClient[dict[str, Any]](
        uri_of(port),
        serverSelectionTimeoutMS=CONNECT_MS,
        connectTimeoutMS=CONNECT_MS,
        socketTimeoutMS=COMMAND_MS,
    )
    try:
        return await client.admin.command(name, value, **more)
    except PyMongoError:
        return None
    finally:
        await client.close()


def _deployed_parameters() -> dict[str, str]:
    """Parameters of a deployed mongod."""
    parameters = yaml.safe_load(CONFIGURATION.read_text())["setParameter"]
    return {name: str(value) for name, value in parameters.items()}
