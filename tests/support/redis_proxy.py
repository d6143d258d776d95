"""Direct Redis commands, and a proxy that can block subscriptions."""

import asyncio
import socket

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

    def __init__(self, port: int) -> None:
        self.blocks_subscribers = False
        self.port = 0
        self._redis_port = port
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        await self._server.wait_closed()

    async def _connect(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._redis_port)
        requests = bytearray()
        for pipe in (
            self._forward_requests(client_reader, redis_writer, requests),
            self._forward_replies(redis_reader, client_writer, requests),
        ):
            task = asyncio.ensure_future(pipe)
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _forward_requests(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, requests: bytearray
    ) -> None:
        try:
            while data := await source.read(65536):
                requests += data
                sink.write(data)
        finally:
            sink.close()

    async def _forward_replies(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, requests: bytearray
    ) -> None:
        try:
            while data := await source.read(65536):
                if not (self.blocks_subscribers and b"SUBSCRIBE" in requests):
                    sink.write(data)
        finally:
            sink.close()
