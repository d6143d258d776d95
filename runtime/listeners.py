"""Listening sockets, of one process alone or shared by several with SO_REUSEPORT."""

import socket
from typing import Any, NamedTuple, Self

from tornado.netutil import bind_sockets

BACKLOG = 4096
"""Connections that wait to be accepted, of which Linux allows as many: all clients of a process
that has died reconnect within a second. Those that find no place try again after 1, 3 and 7 s."""

ACCEPTS_AT_ONCE = 4
"""New connections that are accepted before others are served. Tornado would accept 128. A call
takes dozens of turns of the event loop, and each turn has the handshakes of these connections."""


class PacedListener(socket.socket):
    """A listening socket that is empty after every ACCEPTS_AT_ONCE connections, once.

    The event loop then serves its other sockets before it comes back: open connections are
    answered while the clients of a process that has died reconnect.
    """

    _left = ACCEPTS_AT_ONCE

    @classmethod
    def over(cls, sock: socket.socket) -> Self:
        """Takes the listening socket over, whose object is closed."""
        paced = cls(sock.family, sock.type, sock.proto, sock.detach())
        paced.settimeout(0)
        return paced

    def accept(self) -> tuple[socket.socket, Any]:
        """As socket.accept; BlockingIOError when others are to be served."""
        if not self._left:
            self._left = ACCEPTS_AT_ONCE
            raise BlockingIOError
        self._left -= 1
        try:
            return super().accept()
        except BlockingIOError:
            self._left = ACCEPTS_AT_ONCE
            raise


class WorkerSockets:
    """The listening sockets of a worker slot, which can be closed and bound again."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.listening = sockets
        self._places = [_place_of(sock) for sock in sockets]

    def close(self) -> None:
        """Refuse new connections, and those that still wait to be accepted."""
        for sock in self.listening:
            sock.close()
        self.listening = []

    def bind(self) -> None:
        """Bind the same addresses again if closed; OSError names one that is taken."""
        if self.listening:
            return
        try:
            for place in self._places:
                self.listening += _listen_at(place)
        except OSError:
            self.close()
            raise


class _Place(NamedTuple):
    """Where a socket listens, and whether others may as well."""

    family: socket.AddressFamily
    host: str
    port: int
    reuse_port: bool


def _place_of(sock: socket.socket) -> _Place:
    host, port = sock.getsockname()[:2]
    shared = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))
    return _Place(sock.family, host, port, shared)


def _listen_at(place: _Place) -> list[socket.socket]:
    family, host, port, reuse_port = place
    try:
        return bind_sockets(port, host, family, backlog=BACKLOG, reuse_port=reuse_port)
    except OSError as failure:
        raise OSError(f"{host}:{port}: {failure.strerror}") from failure


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind one socket per address of the host; OSError names the address."""
    try:
        return bind_sockets(port, host, backlog=BACKLOG)
    except OSError as failure:
        raise OSError(f"{host}:{port}: {failure.strerror}; see server.port.") from failure


def listen_shared(host: str, port: int, parts: int) -> list[list[socket.socket]]:
    """As `listen`, `parts` times on one port: the kernel balances connections over them."""
    # SO_REUSEPORT would also share the port with another server: bind exclusively first.
    exclusive = listen(host, port)
    port = exclusive[0].getsockname()[1]
    for sock in exclusive:
        sock.close()
    return [bind_sockets(port, host, backlog=BACKLOG, reuse_port=True) for _ in range(parts)]


def listen_workers(
    host: str, port: int, workers: int, *, own_ports: bool
) -> list[list[socket.socket]]:
    """Sockets of each worker: on the shared port and, with `own_ports`, worker n on port + 1 + n.

    OSError names the address.
    """
    parts = listen_shared(host, port, workers)
    if own_ports:
        shared_port = parts[0][0].getsockname()[1]
        for number, sockets in enumerate(parts):
            sockets.extend(listen(host, shared_port + 1 + number))
    return parts


def address_of(host: str, sockets: list[socket.socket]) -> str:
    """Base URL of a server on `host`, as reached from this machine."""
    name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here
    return f"http://{name}:{sockets[0].getsockname()[1]}"
