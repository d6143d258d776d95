"""Outboxes on real sockets, and the readers at their other ends."""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

from tornado.iostream import IOStream
from websockets.protocol import CLIENT, OPEN, Protocol

from realtime.outbox import Outbox
from tests.realtime.listening import until

BACKLOG = 64 * 1024


class Pair:
    """An outbox on a socket whose kernel holds little, and who reads at the other end."""

    def __init__(self, backlog: int = BACKLOG, user_id: str = "10000001") -> None:
        ours, self.reader = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.reader.setblocking(False)
        self.stream = IOStream(ours)
        self.outbox = Outbox(user_id, self.stream, backlog_bytes=backlog)
        self._parser = Protocol(CLIENT, state=OPEN)

    def now(self) -> bytes:
        """What is there to be read, without a turn for anybody."""
        found = bytearray()
        with suppress(BlockingIOError):
            while some := self.reader.recv(1 << 20):
                found += some
        return bytes(found)

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes, with turns for the loop in between."""
        found = bytearray()

        def some() -> bool:
            found.extend(self.now())
            return len(found) >= count

        await until(some)
        return bytes(found)

    async def read_to(self, last: bytes) -> bytes:
        """What comes up to these bytes, and whatever came together with them."""
        found = bytearray()

        def ended() -> bool:
            found.extend(self.now())
            return last in found

        await until(ended)
        return bytes(found)

    async def read_out(self) -> bytes:
        """Everything until our side is closed."""
        found = bytearray()
        while not self.stream.closed():
            found += self.now()
            await asyncio.sleep(0.005)
        return bytes(found + self.now())

    def stall(self) -> bytes:
        """Send until the kernel takes no more; what was sent."""
        sent = b""
        while not self.outbox.waits:
            sent += (chunk := bytes([len(sent) % 251]) * 1000)
            self.outbox.send(chunk)
        return sent

    @property
    def waiting(self) -> int:
        """Bytes that wait here, the write under way included."""
        return self.outbox._size if self.outbox.waits else 0

    def goodbye(self, data: bytes) -> tuple[dict[str, Any], int]:
        """The bye and the closing code of these bytes, which must be all there is."""
        self._parser.receive_data(data)
        bye, closing = self._parser.events_received()
        said: dict[str, Any] = json.loads(bye.data)  # type: ignore[union-attr]
        return said, int.from_bytes(closing.data[:2], "big")  # type: ignore[union-attr]

    def close(self) -> None:
        self.stream.close()
        self.reader.close()
