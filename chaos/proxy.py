"""TCP proxy that simulates a faulty network in front of a server."""

import asyncio
import random
import socket
import struct
from collections import deque

from tests.support.ports import reserved_port

LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: close sends RST instead of FIN."""


class Proxy:
    """Listens on `port` and forwards to `target_port`, both on this machine.

    Call `accept` at first. The port is reserved until `stop`, also while connections are refused.
    """

    def __init__(self, target_port: int, seed: str = "") -> None:
        self._reservation = reserved_port()
        self.port: int = self._reservation.getsockname()[1]
        self.rng = random.Random(seed)
        self.connections: set[ProxySocket] = set()
        """The sockets of clients."""
        self.delay = 0.0
        """Seconds by which all data is delayed; the order is preserved."""
        self.is_held = False
        """All data is held until `heal`, which delivers it."""
        self.is_half_open = False
        """All data is dropped; affected connections stay open, and dead after `heal`."""
        self.reset_probability = 0.0
        """With which each chunk of data resets its connection."""
        self.target_port = target_port
        self._server: asyncio.Server | None = None

    async def stop(self) -> None:
        self.refuse()
        self.reset_all()
        self._reservation.close()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next loop iteration

    # ---- faults

    def reset_all(self) -> None:
        """Reset all connections now."""
        for connection in [*self.connections]:
            connection.reset()

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._server:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Accept new connections."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: ProxySocket(self), "127.0.0.1", self.port, reuse_port=True, backlog=4096
            )

    async def heal(self) -> None:
        """End all faults; dropped data stays lost, and its connections stay dead."""
        self.delay = self.reset_probability = 0.0
        self.is_held = self.is_half_open = False
        for connection in [*self.connections]:
            connection.flush()
            connection.peer.flush()
        await self.accept()


class ProxySocket(asyncio.Protocol):
    """One of the two sockets of a proxied connection; its peer's data is written to it."""

    def __init__(self, proxy: Proxy, client: "ProxySocket | None" = None) -> None:
        """`client`: the peer of a socket to the server."""
        self.is_open = False
        self.dead = False
        """Data was dropped: TCP cannot continue after a gap, so nothing is delivered any more."""
        self._proxy, self._is_client = proxy, client is None
        self.transport: asyncio.Transport | None = None
        self.queue: deque[tuple[float, bytes | None]] = deque()
        """Bytes to be written and when; None means EOF."""
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.peer: ProxySocket = client or ProxySocket(proxy, self)

    # ---- the side on which data arrives

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.is_open = transport, True
        if not self._is_client:
            self.flush()
            return
        self._proxy.connections.add(self)
        if self._proxy.is_half_open:  # the SYN is dropped
            self.dead = self.peer.dead = True
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            loop, port = asyncio.get_running_loop(), self._proxy.target_port
            await loop.create_connection(lambda: self.peer, "127.0.0.1", port)
        except OSError:
            self.reset()
        else:
            if not self.is_open:
                self.peer.reset()

    def data_received(self, data: bytes) -> None:
        self._forward(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        self._forward(None)
        if not self.peer.is_open:
            self._proxy.connections -= {self, self.peer}

    def _forward(self, data: bytes | None) -> None:
        probability = self._proxy.reset_probability
        if self.dead or self._proxy.is_half_open:
            self.dead = self.peer.dead = True
        elif data and probability and self._proxy.rng.random() < probability:
            self.reset()
        else:
            due = asyncio.get_running_loop().time() + self._proxy.delay
            self.peer.queue.append((due, data))
            self.peer.flush()

    # ---- the side to which it is written

    def flush(self) -> None:
        """Write what is due."""
        transport, loop = self.transport, asyncio.get_running_loop()
        if transport is None or self._proxy.is_held:
            return
        while self.queue:
            due, data = self.queue[0]
            if due > loop.time():
                self._timer = self._timer or loop.call_at(due, self._on_timer)
                return
            self.queue.popleft()
            if data is None:
                transport.close()
            elif not transport.is_closing():
                transport.write(data)

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()

    def pause_writing(self) -> None:
        """Propagate backpressure to the sending side, as TCP does."""
        if peer := self.peer.transport:
            peer.pause_reading()

    def resume_writing(self) -> None:
        peer = self.peer.transport
        if peer and not peer.is_closing():
            peer.resume_reading()

    def reset(self) -> None:
        """Reset both sockets immediately."""
        self.abort()
        self.peer.abort()

    def abort(self) -> None:
        self.queue.clear()
        if self._connecting:
            self._connecting.cancel()
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.transport.abort()
