"""All programs of a run: MongoDB, Redis and several servers, each behind a proxy."""

import asyncio
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.program import Program
from chaos.proxy import Proxy
from chaos.replica_set import ReplicaSet
from chaos.tencent import SharedTencent
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from storage.replica_set import uri_of
from tests.support.client import HttpClient, Reply
from tests.support.no_limits import server_environment
from tests.support.ports import free_ports
from tests.support.redis_server import find_redis
from tests.support.waiting import until

MEMBERS = 3
"""Members of a replica set that can lose one."""
READY_SECONDS = 60.0
REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class RunSize:
    """The size of a run; `pause` is the mean time between two operations of an actor."""

    clients: int = 200
    rooms: int = 8
    processes: int = 4
    pause: float = 1.0
    proxied: bool = True
    """Proxies are before servers, MongoDB and Redis."""
    replicated: bool = False
    """MongoDB has three members, without a proxy."""
    gifts: bool = True
    silence_timeout: float = 40.0
    """Seconds without data after which clients reconnect."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the servers."""


class Node:
    """One server process and the proxy in front of it."""

    def __init__(
        self, number: int, port: int, http: HttpClient, program: Program, proxy: Proxy | None
    ) -> None:
        """`port` of the server."""
        self.number, self.program, self.proxy = number, program, proxy
        self.port = proxy.port if proxy else port
        """The port that clients use."""
        self.address = f"http://127.0.0.1:{port}"
        """Base URL of the server, past its proxy."""
        self._http = http

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """Make a single attempt, as a client; status 0 if there is no response."""
        return await self._http.attempt(method, f"http://127.0.0.1:{self.port}{path}", **options)

    async def wait_ready(self) -> None:
        """Wait for 200 from /readyz; raises RuntimeError with the end of the log."""

        async def is_ready() -> bool:
            return (await self._http.attempt("GET", f"{self.address}/readyz")).succeeded

        try:
            await until(is_ready, READY_SECONDS)
        except AssertionError:
            raise self.failure() from None

    def failure(self) -> RuntimeError:
        """Return an error with the end of its log."""
        end = self.program.log.read_text(errors="replace")[-2000:]
        return RuntimeError(f"server {self.number}: {end}")


class Fleet:
    """Starts and stops the programs of one run, whose files are in `folder`."""

    def __init__(self, folder: Path, size: RunSize, seed: int) -> None:
        self.folder, self._size = folder, size
        redis_port, *ports = free_ports(1 + size.processes + (MEMBERS if size.replicated else 1))
        server_ports, member_ports = ports[: size.processes], ports[size.processes :]
        self.mongodb = ReplicaSet(folder, member_ports)
        self.mongo_proxy = Proxy(member_ports[0], f"{seed}:mongodb")
        # Without persistence: the servers must tolerate the loss of its data.
        redis = [find_redis(), "--port", str(redis_port), "--bind", "127.0.0.1"]
        redis += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        self.redis = Program(redis, folder / "redis.log", ready_marker=b"Ready to accept")
        self.redis_proxy = Proxy(redis_port, f"{seed}:redis")
        self.settings, simulator_key = fill_in_secrets(Settings(), folder / "dev-secrets.json")
        self.database = self.settings.mongodb.database
        self.tencent = SharedTencent(
            self.settings, simulator_key, f"http://127.0.0.1:{server_ports[0]}"
        )
        self.http = HttpClient(REQUEST_SECONDS)
        self.ops_token = ""
        proxied = size.proxied
        redis_port = self.redis_proxy.port if proxied else redis_port
        settings = {
            "QLIVE_MONGODB__URI": uri_of(self.mongo_proxy.port) if proxied else self.mongodb.uri,
            "QLIVE_MONGODB__DATA_DIR": str(folder / "mongo"),
            "QLIVE_REDIS__URL": f"redis://127.0.0.1:{redis_port}/0",
            "QLIVE_MICRO__REMOVED_SECONDS": "0",  # guests are taken off the mic all the time
            "QLIVE_LOGGING__JSON": "true",
            **self.tencent.environment,
            **size.settings,
        }
        self.nodes = []
        for number, port in enumerate(server_ports):
            server = Program(
                [sys.executable, "server.py"],
                folder / f"server{number}.log",
                server_environment({**settings, "QLIVE_SERVER__PORT": str(port)}),
                ready_marker=b'"server_listening"',
            )
            proxy = Proxy(port, f"{seed}:{number}") if proxied else None
            self.nodes.append(Node(number, port, self.http, server, proxy))

    @property
    def proxies(self) -> list[Proxy]:
        of_nodes = (node.proxy for node in self.nodes if node.proxy)
        return [self.mongo_proxy, self.redis_proxy, *of_nodes]

    def connect_order(self, rng: random.Random) -> list[Node]:
        """Nodes that a connecting client tries in turn, as a load balancer would.

        With network faults it is a single random node: a client has to retry by itself.
        """
        return rng.sample(self.nodes, 1 if self._size.proxied else len(self.nodes))

    async def start(self) -> None:
        """Return once every server is ready."""
        for proxy in self.proxies:
            await proxy.accept()
        self.redis.start()
        await self.mongodb.start()
        for node in self.nodes:
            node.program.start()
            if node.number == 0:  # the first server stores the demo data
                await node.wait_ready()
        await asyncio.gather(*(node.wait_ready() for node in self.nodes))
        login = await self.http.attempt("POST", f"{self.nodes[0].address}/sim/operator/login")
        if not login.succeeded:
            raise self.nodes[0].failure()
        self.ops_token = str(login.ok()["token"])

    async def stop(self) -> None:
        await self.http.close()
        self.redis.release()
        await asyncio.gather(*(node.program.stop() for node in self.nodes))
        await self.redis.stop()
        await self.mongodb.stop()
        for proxy in self.proxies:
            await proxy.stop()
        await self.tencent.stop()

    async def heal(self) -> None:
        """End all faults and wait until every server is ready."""
        for proxy in self.proxies:
            await proxy.heal()
        self.redis.release()
        for node in self.nodes:
            node.program.release()
        await asyncio.gather(*(node.wait_ready() for node in self.nodes))
