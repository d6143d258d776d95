"""TCP ports of this machine."""

import random
import socket
from contextlib import suppress
from pathlib import Path

PORTS = range(20_000, 32_000)
"""Below the ports that the system assigns: it never gives away that of a program that is down."""


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Distinct free ports of PORTS."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            break
    return found


def reserved_port() -> socket.socket:
    """A bound socket that does not listen: `free_ports` leaves its port out.

    A server of ours may listen on the port with SO_REUSEPORT, and stop, as often as it likes.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind(("127.0.0.1", free_port()))
    return reservation


def prefer_free_port(data_dir: Path) -> None:
    """Let the first embedded mongod on `data_dir` use a free port of ours."""
    data_dir.mkdir(exist_ok=True)
    (data_dir / "port").write_text(f"{free_port()}\n")


def is_open(port: int) -> bool:
    """Whether it accepts connections."""
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0
