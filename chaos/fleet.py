"""All programs of a run: MongoDB, Redis and several servers, each behind a proxy."""

import asyncio
import os
import random
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from chaos.mongod import KillableMongod
from chaos.program import Program
from chaos.proxy import Proxy
from chaos.replica_set import MEMBERS, ReplicaSet
from chaos.tencent import SharedTencent
from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from storage.replica_set import uri_of
from tests.support.client import HttpClient
from tests.support.no_limits import NO_LIMITS_ENVIRONMENT
from tests.support.ports import free_ports
from tests.support.redis_server import find_redis

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60.0
REQUEST_SECONDS = 3.0


class Node:
    """One server process and the proxy in front of it."""

    def __init__(self, number: int, program: Program, proxy: Proxy, port: int) -> None:
        self.number = number
        self.program = program
        self.proxy = proxy
        self.server_port = port
        self.port = port
        """The port that clients use: that of the proxy, or of the server if it has none."""

    @property
    def address(self) -> str:
        """Base URL of the server, past its proxy."""
        return f"http://127.0.0.1:{self.server_port}"

    def kill(self) -> None:
        """kill -9; it stays down until `program.release`."""
        self.program.hold_down()


class Fleet:
    """Starts and stops the programs of one run, whose files are in `folder`."""

    def __init__(
        self,
        folder: Path,
        processes: int,
        extra: Mapping[str, str],
        *,
        proxied: bool = True,
        replicated: bool = False,
        seed: int = 0,
    ) -> None:
        """`extra`: additional environment variables of the servers; `proxied`: with proxies before
        servers, MongoDB and Redis; `replicated`: MongoDB has three members, without a proxy."""
        self.folder = folder
        mongo_port, redis_port, *ports = free_ports(2 + processes + MEMBERS)
        server_ports, member_ports = ports[:processes], ports[processes:]
        self.mongod = KillableMongod(folder / "mongo", mongo_port)
        self.replica_set = ReplicaSet(folder, member_ports) if replicated else None
        self.mongo_proxy = Proxy(mongo_port, f"{seed}:mongodb")
        self.redis = _redis(folder, redis_port)
        self._redis_own_port = redis_port
        self.redis_proxy = Proxy(redis_port, f"{seed}:redis")
        self.nodes = [
            Node(n, Program([], folder, {}, folder), Proxy(port, f"{seed}:{n}"), port)
            for n, port in enumerate(server_ports)
        ]
        self.ops_token = self.database = ""
        self.settings = Settings()
        """Once started, with the secrets of the servers."""
        self._extra = extra
        self._proxied = proxied
        self._tencent: SharedTencent | None = None
        self.http = HttpClient(REQUEST_SECONDS)

    @property
    def tencent(self) -> SharedTencent:
        """The simulated Tencent of a started fleet."""
        assert self._tencent
        return self._tencent

    @property
    def mongodb(self) -> KillableMongod | ReplicaSet:
        """The MongoDB that the servers use."""
        return self.replica_set or self.mongod

    @property
    def proxies(self) -> list[Proxy]:
        return [self.mongo_proxy, self.redis_proxy, *(node.proxy for node in self.nodes)]

    def connect_order(self, rng: random.Random) -> list[Node]:
        """Nodes that a connecting client tries in turn, as a load balancer would.

        With network faults it is a single random node: a client has to retry by itself.
        """
        return rng.sample(self.nodes, 1 if self._proxied else len(self.nodes))

    async def start(self) -> None:
        """Returns once every server is ready."""
        settings, dev = await asyncio.to_thread(
            fill_in_secrets, Settings(), self.folder / "dev-secrets.json"
        )
        self.settings = settings
        self._tencent = SharedTencent(settings, dev, self.nodes[0].address)
        self.database = settings.mongodb.database
        for proxy in self.proxies:
            await proxy.start()
        self.redis.start()
        await self.mongodb.start()
        for node in self.nodes:
            node.port = node.proxy.port if self._proxied else node.server_port
            log = self.folder / f"server{node.number}.log"
            environment = self._environment(node.server_port)
            command = [sys.executable, "server.py"]
            node.program = Program(
                command, ROOT, environment, log, ready_marker=b'"server_listening"'
            )
            node.program.start()
            if node.number == 0:  # the first server stores the demo data
                await self.wait_ready(node)
        await asyncio.gather(*map(self.wait_ready, self.nodes))
        self.ops_token = await self._log_in_operator()

    async def _log_in_operator(self) -> str:
        """The token of the demo operator, an admin."""
        login = await self.http.send("POST", f"{self.nodes[0].address}/sim/operator/login")
        return str(login.ok()["token"])

    async def stop(self) -> None:
        await self.http.close()
        self.redis.release()
        await asyncio.gather(*(node.program.stop() for node in self.nodes))
        await self.redis.stop()
        await self.mongodb.stop()
        for proxy in self.proxies:
            await proxy.stop()
        if self._tencent:
            await self._tencent.stop()

    async def wait_ready(self, node: Node) -> None:
        """Wait for 200 from /readyz; raises RuntimeError with the end of the log."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not (await self.http.attempt("GET", f"{node.address}/readyz")).succeeded:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise RuntimeError(f"server {node.number}: {node.program.log_tail()}") from None

    async def heal(self) -> None:
        """End all faults and wait until every server is ready."""
        for proxy in self.proxies:
            await proxy.heal()
        self.redis.release()
        for node in self.nodes:
            node.program.release()
        await asyncio.gather(*map(self.wait_ready, self.nodes))

    def _environment(self, port: int) -> dict[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        return {
            **inherited,
            **NO_LIMITS_ENVIRONMENT,
            "QLIVE_SERVER__PORT": str(port),
            "QLIVE_MONGODB__URI": self._mongo_uri(),
            "QLIVE_MONGODB__DATA_DIR": str(self.folder / "mongo"),
            "QLIVE_REDIS__URL": f"redis://127.0.0.1:{self._redis_port()}/0",
            "QLIVE_MICRO__REMOVED_SECONDS": "0",  # guests are taken off the mic all the time
            "QLIVE_LOGGING__JSON": "true",
            **self.tencent.environment,
            **self._extra,
        }

    def _mongo_uri(self) -> str:
        if self.replica_set:
            return self.replica_set.uri
        return uri_of(self.mongo_proxy.port) if self._proxied else self.mongod.uri

    def _redis_port(self) -> int:
        return self.redis_proxy.port if self._proxied else self._redis_own_port


def raise_file_limit(needed: int) -> str | None:
    """Raise the limit of open files to its maximum; returns an error message if that is too low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most >= needed:
        return None
    return f"{needed} open files are needed and {most} allowed; raise `ulimit -Hn`."


def _redis(folder: Path, port: int) -> Program:
    """Redis without persistence: the servers must tolerate the loss of its data."""
    command = [find_redis(), "--port", str(port), "--bind", "127.0.0.1"]
    return Program(
        [*command, "--save", "", "--appendonly", "no", "--dir", str(folder)],
        folder,
        os.environ,
        folder / "redis.log",
        ready_marker=b"Ready to accept",
    )
