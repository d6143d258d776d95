"""Buses of several processes, in one process."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Self

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


class RedisProxy:
    """A TCP proxy in front of Redis.

    With `blocks_subscribers` it silently drops all that Redis sends to subscribers.
    """

    def __init__(self, redis: RedisServer) -> None:
        self.blocks_subscribers = False
        self.url = ""
        self._redis = redis
        self._pipes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        await self._server.wait_closed()

    async def _connect(self, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies, redis = await asyncio.open_connection("127.0.0.1", self._redis.port)
        requests = bytearray()

        async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    if source is client:
                        requests.extend(data)
                    elif self.blocks_subscribers and b"SUBSCRIBE" in requests:
                        continue
                    sink.write(data)
            finally:
                sink.close()

        for pipe in (forward(client, redis), forward(replies, writer)):
            task = asyncio.ensure_future(pipe)
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)
