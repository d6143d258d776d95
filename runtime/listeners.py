"""Listening sockets of a process."""

import socket
from typing import Any, Self

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


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind one socket per address of the host; OSError names the address."""
    try:
        return bind_sockets(port, host, backlog=BACKLOG)
    except OSError as failure:
        raise OSError(f"{host}:{port}: {failure.strerror}; see server.port.") from failure


def address_of(host: str, sockets: list[socket.socket]) -> str:
    """Base URL of a server on `host`, as reached from this machine."""
    name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here
    return f"http://{name}:{sockets[0].getsockname()[1]}"
