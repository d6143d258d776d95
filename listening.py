"""The port: taken by one process alone, or in parts by several."""

import socket

from tornado.netutil import bind_sockets

QUEUED = 1024
"""Connections that may wait for a worker that is being replaced, which takes a second."""


def listen(host: str, port: int) -> list[socket.socket]:
    """One socket per address of the host; OSError names what is taken."""
    try:
        return bind_sockets(port, host)
    except OSError as failure:
        raise OSError(f"{host}:{port}: {failure.strerror}; see server.port.") from failure


def listen_in_parts(host: str, port: int, parts: int) -> list[list[socket.socket]]:
    """As `listen`, once per part of the same port: the kernel spreads connections over them."""
    # Sockets that share a port would share it with another server, too: first one that does not.
    alone = listen(host, port)
    port = alone[0].getsockname()[1]
    for sock in alone:
        sock.close()
    return [bind_sockets(port, host, backlog=QUEUED, reuse_port=True) for _ in range(parts)]


def address_of(host: str, sockets: list[socket.socket]) -> str:
    """Where a server that listens on `host` is reached from here."""
    name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - not bound here
    return f"http://{name}:{sockets[0].getsockname()[1]}"
