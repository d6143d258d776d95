"""A WebSocket client that stops reading after its first frame."""

import asyncio
import random
import socket

from chaos.fleet import Fleet
from chaos.http_client import ApiUser
from chaos.procfs import POLL_SECONDS as PROCFS_POLL_SECONDS
from chaos.procfs import TcpConnections
from chaos.websocket_client import PATH
from chaos.websocket_protocol import WebSocketConnection, handshake

RECEIVE_BYTES = 4_096
SEGMENT_BYTES = 1_400
"""As on a real network. On loopback segments have 64 KB, and the kernel would buffer 2.6 MB for a
client that does not read; with this it buffers about 90 KB."""
POLL_SECONDS = 0.25
CLOSE_SECONDS = 10.0 + POLL_SECONDS + PROCFS_POLL_SECONDS
"""The server's limit for a client that does not read, plus the delay of polling."""
SPREAD_SECONDS = 10.0


class StalledReader:
    """Connects and stalls repeatedly.

    `stalls`: seconds until the server closed each socket. `close_delays`: of these, the seconds
    since the kernel's buffer was full; the server cannot detect a stall earlier.
    """

    def __init__(
        self, fleet: Fleet, user: ApiUser, connections: TcpConnections, rng: random.Random
    ) -> None:
        self.close_delays: list[float] = []
        self.stalls: list[float] = []
        self.never_closed = 0
        """Number of sockets that were not closed within CLOSE_SECONDS."""
        self._fleet, self._user, self._connections = fleet, user, connections
        self._rng = rng

    async def stall(self) -> None:
        """Run until cancelled; the start is random within SPREAD_SECONDS."""
        await asyncio.sleep(self._rng.uniform(0, SPREAD_SECONDS))
        while True:
            connection = await self._connect()
            if connection is None or connection.transport is None:
                await asyncio.sleep(1)
                continue
            try:
                await self._wait_closed(connection)
            finally:
                connection.abort()

    async def leave(self) -> None:
        """Leave the room for good."""
        await self._user.get("qlive_room/leave_room/", live_id=self._user.live_id)

    async def _connect(self) -> WebSocketConnection | None:
        """A connection that received its first frame and reads no further; None if that failed."""
        loop, first = asyncio.get_running_loop(), asyncio.Event()
        path = f"{PATH}?live_id={self._user.live_id}"
        connection = WebSocketConnection(
            handshake(path, self._user.token), lambda _text: first.set()
        )
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        sock.settimeout(0)
        port = self._rng.choice(self._fleet.nodes).server_port
        try:
            async with asyncio.timeout(10):
                await loop.sock_connect(sock, ("127.0.0.1", port))
                await loop.create_connection(lambda: connection, sock=sock)
                await first.wait()
        except (OSError, TimeoutError):
            sock.close()
            return None
        assert connection.transport is not None
        connection.transport.pause_reading()
        return connection

    async def _wait_closed(self, connection: WebSocketConnection) -> None:
        """Wait for the server's close; its time limit starts when the kernel's buffer is full."""
        assert connection.transport is not None
        local = connection.transport.get_extra_info("sockname")
        remote = connection.transport.get_extra_info("peername")
        clock = asyncio.get_running_loop().time
        started = full_at = clock()
        largest, seen = 0, False
        unsent: int | None = 0
        try:
            while unsent is not None:
                await asyncio.sleep(POLL_SECONDS)
                unsent = self._connections.unsent(remote[1], local[1])
                if unsent is not None:
                    seen = True
                elif seen:  # otherwise it has not stalled at all
                    self.close_delays.append(clock() - full_at)
                    self.stalls.append(clock() - started)
                if unsent and unsent > largest:
                    largest, full_at = unsent, clock()
        finally:  # usually cancelled at the end of a phase, and may be overdue by then
            if unsent and clock() - full_at > CLOSE_SECONDS:
                self.never_closed += 1
