"""TCP ports of this machine."""

import os
import random
import socket
import time
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

from tests.support.waiting import WAIT_SECONDS

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(20_000, 32_000)[WORKER % 16 :: 16]
"""Below the ports that the system assigns: it never gives away that of a program that is down.

Each worker of a test run has its own: a program listens only seconds after its port was found free.
"""
_CANDIDATES = cycle(random.sample(PORTS, len(PORTS)))


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Distinct free ports of PORTS, those that were given longest ago first.

    A port with an old connection in TIME_WAIT does not count: not every server sets SO_REUSEADDR.
    """
    found: list[int] = []
    for port in islice(_CANDIDATES, len(PORTS)):
        with suppress(OSError), socket.socket() as candidate:
            candidate.bind(("127.0.0.1", port))
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


def wait_until_open(port: int) -> None:
    """Returns when it accepts connections."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline, f"port {port} does not accept connections"
        time.sleep(0.01)
