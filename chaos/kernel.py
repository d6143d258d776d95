"""What the kernel knows: which connections are open, how large a process is, who is busy."""

import asyncio
from pathlib import Path

ESTABLISHED = "01"
EVERY_SECONDS = 0.2


class Connections:
    """The open TCP connections of this machine, looked up by `watch`.

    Who does not read is not told that the other side has closed; the kernel knows it.
    """

    def __init__(self) -> None:
        self._unsent: dict[tuple[int, int], int] = {}

    async def watch(self) -> None:
        """For ever; cancel it. A look costs some ms: both sides of a comparison have to bear it."""
        while True:
            self._unsent = _established()
            await asyncio.sleep(EVERY_SECONDS)

    def unsent(self, server_port: int, client_port: int) -> int | None:
        """Bytes that wait in the server's kernel for this client; None when its end is closed."""
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


def ticks() -> tuple[int, int]:
    """(busy, all) ticks of all cores so far; see proc(5), /proc/stat."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    spent = [int(field) for field in first.split()[1:9]]
    return sum(spent) - spent[3] - spent[4], sum(spent)


def memory_of(pid: int) -> int:
    """Resident bytes of a process; 0 when there is none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
