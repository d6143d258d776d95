"""A replica set of mongods, which can be killed and suspended, and whose primary steps down."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from chaos.program import ROOT, Program
from devtools.embedded_mongod import find_binary
from storage.replica_set import NAME, uri_of
from tests.support.waiting import until

READY_SECONDS = 60.0
COMMAND_MS = 10_000
CONNECT_MS = 1_000
"""Timeout of a connection to a member, which may be down or suspended."""
CACHE_GB = "0.25"
"""MongoDB's minimum."""
SETTINGS = {"electionTimeoutMillis": 4_000, "catchUpTimeoutMillis": 1_000}
"""Replication settings of docs/deploy.md."""


class ReplicaSet:
    """A mongod in `folder` for each port, with the replication settings of a deployment."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.uri = (
            f"mongodb://{addresses}/?replicaSet={NAME}" if len(ports) > 1 else uri_of(ports[0])
        )
        self.members = {port: _member(folder / f"mongod-{port}", port) for port in ports}
        """By port."""

    async def start(self) -> None:
        """Return once it accepts writes, and every member follows the primary."""
        for member in self.members.values():
            member.start()
        hosts = [{"_id": n, "host": f"127.0.0.1:{port}"} for n, port in enumerate(self.members)]
        config = {"_id": NAME, "members": hosts, "settings": SETTINGS}
        first = next(iter(self.members))
        await until(lambda: command(first, "replSetInitiate", config), READY_SECONDS)
        await self.wait_in_sync()

    async def stop(self) -> None:
        """Kill all members: a shutdown takes 15 s, and their data are not used again."""
        for member in self.members.values():
            member.hold_down()
        await asyncio.gather(*(member.stop() for member in self.members.values()))

    async def primary(self) -> int:
        """Port of the member that accepts writes."""

        async def find() -> int:
            for port in self.members:
                if (await command(port, "hello") or {}).get("isWritablePrimary"):
                    return port
            return 0

        return await until(find, READY_SECONDS)

    async def wait_in_sync(self) -> None:
        """Wait until there is one primary, and every other member follows it."""
        expected = ["PRIMARY", *["SECONDARY"] * (len(self.members) - 1)]

        async def is_in_sync() -> bool:
            status = await command(await self.primary(), "replSetGetStatus") or {}
            return sorted(member["stateStr"] for member in status.get("members", ())) == expected

        await until(is_in_sync, READY_SECONDS)


def _member(folder: Path, port: int) -> Program:
    folder.mkdir(parents=True)
    options = [f"{name}={value}" for name, value in deployed_parameters().items()]
    command_line = [
        *(str(find_binary()), "--replSet", NAME, "--bind_ip", "127.0.0.1", "--quiet"),
        *("--port", str(port), "--dbpath", str(folder), "--nounixsocket"),
        *("--wiredTigerCacheSizeGB", CACHE_GB, "--oplogSize", "64"),
        *(word for option in options for word in ("--setParameter", option)),
    ]
    return Program(
        command_line, folder.with_suffix(".log"), ready_marker=b"Waiting for connections"
    )


async def command(port: int, name: str, value: Any = 1, **more: Any) -> dict[str, Any] | None:
    """Return the answer of one member; None if it refuses, or does not answer."""
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


def deployed_parameters() -> dict[str, str]:
    """Parameters of a deployed mongod."""
    configuration = yaml.safe_load((ROOT / "deploy" / "mongod.conf").read_text())
    return {name: str(value) for name, value in configuration["setParameter"].items()}
