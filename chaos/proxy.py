"""TCP proxy that simulates a faulty network in front of a server."""

import asyncio
import random
import socket
from collections.abc import Iterable

from chaos.pipe import NetworkConditions
from chaos.proxy_connection import ProxyConnection, ProxySocket

UP, DOWN = "up", "down"
"""Up is from the client to the server behind the proxy, down is back."""
BOTH = (UP, DOWN)


class Proxy:
    """Listens on `port` and forwards to `target_port`, both on this machine.

    The port stays reserved from `start` to `stop`, also while connections are refused.
    """

    def __init__(self, target_port: int, seed: str = "") -> None:
        self.port = 0
        self.up, self.down = NetworkConditions(), NetworkConditions()
        self.rng = random.Random(seed)
        self.connections: set[ProxyConnection] = set()
        self._target_port = target_port
        self._reservation: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Start listening; returns the port."""
        self._reservation = _bound_socket(0)
        self.port = self._reservation.getsockname()[1]
        await self.accept()
        return self.port

    async def stop(self) -> None:
        self.refuse()
        self.reset_all()
        if self._reservation:
            self._reservation.close()
        await asyncio.sleep(0)  # aborted transports close their sockets in the next loop iteration

    # ---- faults

    def reset_all(self) -> int:
        """Reset all connections now; returns their number."""
        connections = list(self.connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    def half_open(self, directions: Iterable[str] = BOTH) -> None:
        """Drop all data from now on; affected connections stay open, and dead after `heal`."""
        for conditions in self._of(directions):
            conditions.black_hole = True

    def hold(self, directions: Iterable[str] = BOTH) -> None:
        """Hold all data until `heal`, which delivers it."""
        for conditions in self._of(directions):
            conditions.held = True

    def slow(self, seconds: float, directions: Iterable[str] = BOTH) -> None:
        for conditions in self._of(directions):
            conditions.delay = seconds

    def lossy(self, probability: float, directions: Iterable[str] = BOTH) -> None:
        """Let each chunk of data reset its connection with this probability."""
        for conditions in self._of(directions):
            conditions.reset_probability = probability

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._server:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Accept new connections again."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: self._new_connection().client, sock=_bound_socket(self.port), backlog=4096
            )

    async def heal(self) -> None:
        """End all faults; dropped data stays lost, and its connections stay dead."""
        self.up.clear()
        self.down.clear()
        for connection in list(self.connections):
            connection.flush()
        await self.accept()

    # ---- used by its connections

    async def connect_target(self, server: ProxySocket) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: server, "127.0.0.1", self._target_port)
        return transport

    def forget(self, connection: ProxyConnection) -> None:
        self.connections.discard(connection)

    def _new_connection(self) -> ProxyConnection:
        connection = ProxyConnection(self)
        self.connections.add(connection)
        return connection

    def _of(self, directions: Iterable[str]) -> list[NetworkConditions]:
        return [{UP: self.up, DOWN: self.down}[direction] for direction in directions]


def _bound_socket(port: int) -> socket.socket:
    """A bound socket; without listening it reserves the port and refuses connections."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
