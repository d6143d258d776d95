"""Everything that runs in a run: MongoDB, Redis, several servers, and a proxy before each."""

import asyncio
import os
import random
import resource
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from chaos.database import KillableMongod
from chaos.program import Program
from chaos.proxy import Proxy
from chaos.redis_program import find_redis
from devsecrets import fill
from settings import Settings
from storage.replica import uri_of

ROOT = Path(__file__).parents[1]
READY_SECONDS = 60.0
TRIES = 40
"""Starts of one server in a run: a MongoDB that is away costs a few."""
PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to connections, and so to none whose server is down."""


class NotReady(Exception):
    """A server that does not become ready; with the end of its log."""


class Node:
    """One server process and the proxy before it."""

    def __init__(self, number: int, program: Program, proxy: Proxy, port: int) -> None:
        self.number = number
        self.program = program
        self.proxy = proxy
        self.own_port = port
        self.port = port
        """Where people call it: the proxy, or itself where there is none."""
        self.lost_at = 0.0
        """When it was killed last, by the clock of the event loop."""

    def kill(self) -> None:
        """kill -9; it stays down until `program.let_up`."""
        self.lost_at = asyncio.get_running_loop().time()
        self.program.knock_down()


class Fleet:
    """Starts and ends the programs of one run, all of them in `folder`."""

    def __init__(
        self,
        folder: Path,
        processes: int,
        extra: Mapping[str, str],
        *,
        proxied: bool = True,
        seed: int = 0,
    ) -> None:
        self.folder = folder
        mongo_port, redis_port, *ports = free_ports(processes + 2)
        self.mongod = KillableMongod(folder / "mongo", mongo_port)
        self.mongo_proxy = Proxy(mongo_port, f"{seed}:mongodb")
        self.redis = _redis(folder, redis_port)
        self.redis_proxy = Proxy(redis_port, f"{seed}:redis")
        self.nodes = [
            Node(n, Program([], folder, {}, folder), Proxy(port, f"{seed}:{n}"), port)
            for n, port in enumerate(ports)
        ]
        self.ops_token = self.database = ""
        self._extra = extra
        self._proxied = proxied

    @property
    def proxies(self) -> list[Proxy]:
        return [self.mongo_proxy, self.redis_proxy, *(node.proxy for node in self.nodes)]

    def doors(self, chance: random.Random) -> list[Node]:
        """Where somebody asks who wants in: a balancer passes them on from a port that refuses.

        Without one, and with all that befalls a network, it is left to chance and their patience.
        """
        return chance.sample(self.nodes, 1 if self._proxied else len(self.nodes))

    async def start(self) -> None:
        """Returns when every server is ready."""
        settings, _ = await asyncio.to_thread(fill, Settings(), self.folder / "dev-secrets.json")
        self.ops_token, self.database = settings.ops.token, settings.mongodb.database
        for proxy in self.proxies:
            await proxy.start()
        self.redis.start()
        await self.mongod.start()
        for node in self.nodes:
            node.port = node.proxy.port if self._proxied else node.own_port
            log = self.folder / f"server{node.number}.log"
            environment = self._environment(node.own_port)
            words = [sys.executable, "server.py"]
            node.program = Program(words, ROOT, environment, log, says_ready=b'"listening"')
            node.program.start()
            if node.number == 0:  # the first one plants the demo data
                await self.ready(node)
        await asyncio.gather(*map(self.ready, self.nodes))

    async def stop(self) -> None:
        self.redis.let_up()
        await asyncio.gather(*(node.program.stop() for node in self.nodes))
        await self.redis.stop()
        await self.mongod.stop()
        for proxy in self.proxies:
            await proxy.stop()

    async def ready(self, node: Node) -> None:
        """Until its /readyz says so, at most READY_SECONDS."""
        address = f"http://127.0.0.1:{node.own_port}/readyz"
        timeout = aiohttp.ClientTimeout(total=3)
        try:
            async with (
                asyncio.timeout(READY_SECONDS),
                aiohttp.ClientSession(timeout=timeout) as http,
            ):
                while not await _ok(http, address):
                    if node.program.starts > TRIES:
                        raise TimeoutError
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise NotReady(f"server {node.number}: {node.program.last_words()}") from None

    async def heal(self) -> None:
        """Everything back, and a network that works."""
        for proxy in self.proxies:
            await proxy.heal()
        self.redis.let_up()
        for node in self.nodes:
            node.program.let_up()
        await asyncio.gather(*map(self.ready, self.nodes))

    def _environment(self, port: int) -> dict[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("QLIVE_")}
        return {
            **inherited,
            "QLIVE_SERVER__PORT": str(port),
            "QLIVE_MONGODB__URI": uri_of(self.mongo_proxy.port),
            "QLIVE_MONGODB__DATA_DIR": str(self.folder / "mongo"),
            "QLIVE_REDIS__URL": f"redis://127.0.0.1:{self.redis_proxy.port}/0",
            "QLIVE_LIMITS__HANDSHAKES_PER_SECOND": "0",
            "QLIVE_LOGGING__JSON": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._extra,
        }


def free_ports(count: int) -> list[int]:
    """Ports where nobody listens, each one only once."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found


def raise_file_limit(needed: int) -> str | None:
    """Allow as many open files as the system lets us; a sentence when that is not enough."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most >= needed:
        return None
    return f"{needed} open files are needed and {most} allowed: raise `ulimit -Hn`."


async def _ok(http: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with http.get(address) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def _redis(folder: Path, port: int) -> Program:
    """Without persistence: what it forgets, nobody may miss."""
    words = [find_redis(), "--port", str(port), "--bind", "127.0.0.1"]
    return Program(
        [*words, "--save", "", "--appendonly", "no", "--dir", str(folder)],
        folder,
        os.environ,
        folder / "redis.log",
        says_ready=b"Ready to accept",
    )
