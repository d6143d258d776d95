"""Writers on real sockets, and readers of the other ends."""

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tornado.iostream import IOStream
from websockets.protocol import CLIENT, OPEN, Protocol

from realtime.socket_writer import SocketWriter
from tests.support.waiting import until

BACKLOG = 64 * 1024


class WriterPair:
    """A writer on a socket with a small send buffer, and its reader."""

    def __init__(self, backlog: int = BACKLOG, user_id: str = "10000001") -> None:
        sending, self.reader = socket.socketpair()
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.reader.setblocking(False)
        self.stream = IOStream(sending)
        self.writer = SocketWriter(user_id, self.stream, backlog)
        self._parser = Protocol(CLIENT, state=OPEN)

    def read_available(self) -> bytes:
        """All that can be read without running the event loop."""
        found = bytearray()
        with suppress(BlockingIOError):
            while chunk := self.reader.recv(1 << 20):
                found += chunk
        return bytes(found)

    async def read(self, count: int) -> bytes:
        """Reads at least `count` bytes, running the event loop meanwhile."""
        return await self._read_until(lambda found: len(found) >= count)

    async def read_until(self, last: bytes) -> bytes:
        """Reads until `last` has arrived, and what arrived together with it."""
        return await self._read_until(lambda found: last in found)

    async def read_until_closed(self) -> bytes:
        """Reads until the writer closes the socket."""
        return await self._read_until(lambda _: self.stream.closed()) + self.read_available()

    async def _read_until(self, is_complete: Callable[[bytearray], bool]) -> bytes:
        found = bytearray()

        def check() -> bool:
            found.extend(self.read_available())
            return is_complete(found)

        await until(check)
        return bytes(found)

    def stall(self) -> bytes:
        """Sends until the kernel buffer is full; returns what was sent."""
        sent = b""
        while not self.writer.has_backlog:
            sent += (chunk := bytes([len(sent) % 251]) * 1000)
            self.writer.send(chunk)
        return sent

    def parse_close(self, data: bytes) -> tuple[dict[str, Any], int]:
        """(bye frame, close code) of `data`, which must contain nothing else."""
        self._parser.receive_data(data)
        bye, closing = self._parser.events_received()
        return json.loads(bye.data), int.from_bytes(closing.data[:2], "big")

    def close(self) -> None:
        self.stream.close()
        self.reader.close()
