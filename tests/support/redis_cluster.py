"""A real Redis Cluster of three primaries and a replica of the first."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from chaos.redis_program import find_redis
from realtime.redis_channels import Shard
from tests.support.ports import free_ports

READY_SECONDS = 30
PRIMARIES, NODES = 3, 4
NODE_TIMEOUT_MS = 500
"""After which a silent primary is replaced by its replica."""


class RedisCluster:
    """Nodes 0 to 2 are primaries at first, node 3 replicates node 0."""

    def __init__(self, folder: Path) -> None:
        first = free_ports(2 * NODES)  # the nodes talk to each other on the second half
        self.ports = [first + number for number in range(NODES)]
        self.url = f"redis://127.0.0.1:{self.ports[1]}/0"
        self.processes = [self._start(folder, port) for port in self.ports]
        self.nodes = [redis.Redis(port=port, protocol=2) for port in self.ports]

    def form(self) -> None:
        """Give every primary its slots, let the nodes meet, and add the replica."""
        self._wait(lambda: all(self._answers(node) for node in self.nodes))
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots_of(number))
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in self.ports[1:]:
            meet = ("CLUSTER", "MEET", "127.0.0.1", port, port + NODES)
            self.nodes[0].execute_command(*meet)
        self._wait(lambda: all(self._sees(node, NODES) for node in self.nodes))
        self.nodes[3].execute_command("CLUSTER", "REPLICATE", self.id_of(0))
        self._wait(lambda: self.nodes[3].info("replication")["master_link_status"] == "up")
        self._wait(lambda: all(self._state(node) == "ok" for node in self.nodes))

    def id_of(self, number: int) -> str:
        return str(self.nodes[number].execute_command("CLUSTER", "MYID").decode())

    def move_slot(self, slot: int, source: int, target: int) -> None:
        """Without keys to move, which a bus has none of."""
        for number in (target, source):
            command = ("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))
            self.nodes[number].execute_command(*command)

    def subscribers(self, number: int, channel: str) -> int:
        reply = self.nodes[number].execute_command("PUBSUB", "SHARDNUMSUB", channel)
        return int(reply[1])

    def stop(self) -> None:
        for node in self.nodes:
            node.close()
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, folder: Path, port: int) -> "subprocess.Popen[bytes]":
        own = folder / str(port)
        own.mkdir()
        command = [find_redis(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(own)]
        command += ["--save", "", "--appendonly", "no", "--cluster-enabled", "yes"]
        command += ["--cluster-port", str(port + NODES)]
        command += [
            "--cluster-node-timeout",
            str(NODE_TIMEOUT_MS),
            "--repl-diskless-sync-delay",
            "0",
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def _answers(self, node: "redis.Redis") -> bool:
        try:
            return bool(node.ping())
        except redis.ConnectionError:
            return False

    def _sees(self, node: "redis.Redis", count: int) -> bool:
        return node.execute_command("CLUSTER INFO")["cluster_known_nodes"] == str(count)

    def _state(self, node: "redis.Redis") -> str:
        return str(node.execute_command("CLUSTER INFO")["cluster_state"])

    def _wait(self, condition: Any) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the Redis Cluster does not form"
            time.sleep(0.02)


def slots_of(number: int) -> tuple[int, int]:
    """(first, last) slot of a primary at first."""
    bounds = [16_384 * n // PRIMARIES for n in range(PRIMARIES + 1)]
    return bounds[number], bounds[number + 1] - 1


def channel_owner(channel: str) -> int:
    """The number of the primary that owns the channel at first."""
    shards = [Shard("", 0, frozenset({slots_of(number)})) for number in range(PRIMARIES)]
    return next(number for number, shard in enumerate(shards) if shard.owns(channel))


@contextmanager
def running_redis_cluster() -> Iterator[RedisCluster]:
    with tempfile.TemporaryDirectory(prefix="qlive-redis-") as folder:
        cluster = RedisCluster(Path(folder))
        try:
            cluster.form()
            yield cluster
        finally:
            cluster.stop()
