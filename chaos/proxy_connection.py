"""One connection through the proxy: two sockets and a pipe in each direction."""

import asyncio
import random
import socket
import struct
from typing import Protocol

from chaos.pipe import NetworkConditions, Pipe

LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: close sends RST instead of FIN."""


class ConnectionOwner(Protocol):
    """The interface of the proxy that a connection uses."""

    up: NetworkConditions
    down: NetworkConditions
    rng: random.Random

    async def connect_target(self, server: "ProxySocket") -> asyncio.Transport: ...

    def forget(self, connection: "ProxyConnection") -> None: ...


class ProxyConnection:
    """A connection from a client to the proxy and on to the server."""

    def __init__(self, proxy: ConnectionOwner) -> None:
        self.client, self.server = ProxySocket(self), ProxySocket(self)
        self.up, self.down = Pipe(proxy.up), Pipe(proxy.down)
        self.dead = False
        """Data was dropped: TCP cannot continue after a gap, so nothing is delivered any more."""
        self._proxy = proxy
        self._connecting: asyncio.Task[None] | None = None

    def on_client_connected(self) -> None:
        """Connect to the server, unless the SYN would be dropped."""
        self.down.sink = self.client.transport
        if self._proxy.up.black_hole:
            self.dead = True
            return
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def forward(self, source: "ProxySocket", data: bytes | None) -> None:
        """Forward data from `source` to the other socket; None means EOF."""
        pipe = self.up if source is self.client else self.down
        probability = pipe.conditions.reset_probability
        if self.dead or pipe.conditions.black_hole:
            self.dead = True
        elif data and probability and self._proxy.rng.random() < probability:
            self.reset()
        else:
            pipe.put(data)

    def on_closed(self, side: "ProxySocket") -> None:
        """Forward the EOF of one side, if data still passes."""
        self.forward(side, None)
        if not self.client.open and not self.server.open:
            self._proxy.forget(self)

    def flush(self) -> None:
        self.up.flush()
        self.down.flush()

    def reset(self) -> None:
        """Reset both sockets immediately."""
        self.up.stop()
        self.down.stop()
        if self._connecting:
            self._connecting.cancel()
        for side in (self.client, self.server):
            side.abort()

    async def _connect(self) -> None:
        try:
            self.up.sink = await self._proxy.connect_target(self.server)
        except OSError:
            self.client.abort()
        else:
            if self.client.open:
                self.up.flush()
            else:
                self.server.abort()


class ProxySocket(asyncio.Protocol):
    """One of the two sockets of a proxied connection."""

    def __init__(self, connection: ProxyConnection) -> None:
        self.connection = connection
        self.transport: asyncio.Transport | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.open = transport, True
        if self is self.connection.client:
            self.connection.on_client_connected()

    def data_received(self, data: bytes) -> None:
        self.connection.forward(self, data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False
        self.connection.on_closed(self)

    def pause_writing(self) -> None:
        """Propagate backpressure to the sending side, as TCP does."""
        if peer := self._peer.transport:
            peer.pause_reading()

    def resume_writing(self) -> None:
        peer = self._peer.transport
        if peer and not peer.is_closing():
            peer.resume_reading()

    def abort(self) -> None:
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self.transport.abort()

    @property
    def _peer(self) -> "ProxySocket":
        connection = self.connection
        return connection.server if self is connection.client else connection.client
