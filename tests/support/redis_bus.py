"""Buses of several processes, in one process."""

import asyncio
import socket
from collections.abc import Sequence

from realtime.bus import BusMessage, EventPublished
from realtime.redis_bus import RedisBus
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

ROOM, OTHER_ROOM = 7, 8
TIMEOUT_SECONDS = 60.0
"""Time to detect a lost connection and to restore it, also on a busy machine."""


def event(live_id: int, seq: int) -> EventPublished:
    return EventPublished(live_id, "a", seq, b"\x81\x02{}\n", last=False)


class BusProcess:
    """The running bus of one process, and the messages it has received."""

    def __init__(self, bus: RedisBus) -> None:
        self.bus = bus
        self.received: list[BusMessage] = []
        self.bus.subscribe(self.received.append)
        self._stopping = asyncio.Event()
        self._receiving = asyncio.ensure_future(bus.receive(self._stopping))

    async def wait_connected(self) -> None:
        await until(lambda: self.bus.healthy, TIMEOUT_SECONDS)

    async def wait_disconnected(self) -> None:
        await until(lambda: not self.bus.healthy, TIMEOUT_SECONDS)

    async def wait_for(self, message: BusMessage) -> None:
        await until(lambda: message in self.received, TIMEOUT_SECONDS)

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.wait_for(self._receiving, TIMEOUT_SECONDS)
        await self.bus.close()


async def stop_all(processes: Sequence[BusProcess]) -> None:
    """Stop them; fails if one leaves a task behind."""
    stops = (process.stop() for process in processes)
    failures = [error for error in await asyncio.gather(*stops, return_exceptions=True) if error]
    this_task = asyncio.current_task()
    remaining = [task for task in asyncio.all_tasks() if task is not this_task]
    assert (failures, remaining) == ([], []), "every task ends with its bus"


def redis_command(redis: RedisServer, *words: str) -> bytes:
    """The raw reply to one command."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65536)


def subscriber_count(redis: RedisServer, channel: str) -> int:
    return int(redis_command(redis, "PUBSUB", "NUMSUB", channel).rpartition(b":")[2])
