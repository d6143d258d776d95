"""What a test asks Redis past the bus, and a wire to Redis that may go deaf."""

import asyncio
import socket

from tests.redis_server import RedisServer


def ask(redis: RedisServer, *words: str) -> bytes:
    """The answer to one command, as it comes."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as line:
        line.sendall(" ".join(words).encode() + b"\r\n")
        return line.recv(65536)


def listeners(redis: RedisServer, channel: str) -> int:
    return int(ask(redis, "PUBSUB", "NUMSUB", channel).rpartition(b":")[2])


class Wire:
    """Between a bus and Redis: `deaf`, it lets nothing through to subscribers, and nothing else
    is to be seen of that."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self.port = 0
        self._to = port
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

    async def _connect(self, theirs: asyncio.StreamReader, to_them: asyncio.StreamWriter) -> None:
        ours, to_redis = await asyncio.open_connection("127.0.0.1", self._to)
        said = bytearray()
        for pipe in (self._ask(theirs, to_redis, said), self._answer(ours, to_them, said)):
            task = asyncio.ensure_future(pipe)
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _ask(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, said: bytearray
    ) -> None:
        try:
            while data := await source.read(65536):
                said += data
                sink.write(data)
        finally:
            sink.close()

    async def _answer(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, said: bytearray
    ) -> None:
        try:
            while data := await source.read(65536):
                if not (self.deaf and b"SUBSCRIBE" in said):
                    sink.write(data)
        finally:
            sink.close()
