"""TCP ports of this machine."""

import random
import socket
from contextlib import ExitStack, suppress

UNASSIGNED = (20_000, 30_000)


def free_port() -> int:
    """A port that is free at the moment, and that the system gives to nobody."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that are free at the moment.

    From below the ports that the system chooses, of which one may be taken at any time.
    """
    while True:
        first = random.randrange(*UNASSIGNED, count)
        with suppress(OSError), ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def is_open(port: int) -> bool:
    """Whether it accepts connections."""
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0
