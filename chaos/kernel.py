"""What the kernel knows: which connections are open, how large a process is."""

import time
from pathlib import Path

ESTABLISHED = "01"
FRESH_SECONDS = 0.2


class Connections:
    """The open TCP connections of this machine, looked up at most five times a second.

    Who does not read is not told that the other side has closed; the kernel knows it.
    """

    def __init__(self) -> None:
        self._read_at = 0.0
        self._unsent: dict[tuple[int, int], int] = {}

    def unsent(self, server_port: int, client_port: int) -> int | None:
        """Bytes that wait in the server's kernel for this client; None when its end is closed."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            self._unsent, self._read_at = _established(), time.monotonic()
        return self._unsent.get((server_port, client_port))


def _established() -> dict[tuple[int, int], int]:
    """The send queue of each end, by (own port, other port); see proc(5), /proc/net/tcp."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (row.split() for row in rows)
    return {
        (_port(f[1]), _port(f[2])): int(f[4].partition(":")[0], 16)
        for f in fields
        if f[3] == ESTABLISHED
    }


def _port(address: str) -> int:
    return int(address.partition(":")[2], 16)


def memory_of(pid: int) -> int:
    """Resident bytes of a process; 0 when there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
