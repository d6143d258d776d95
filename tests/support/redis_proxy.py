"""Direct Redis commands, and a proxy that can block subscriptions."""

import asyncio
import socket
from typing import Self

from tests.support.redis_server import RedisServer


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
