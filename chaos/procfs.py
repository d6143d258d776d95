"""Reads TCP connections, CPU time and memory of processes from /proc."""

import asyncio
from pathlib import Path

ESTABLISHED = "01"
POLL_SECONDS = 0.2


class TcpConnections:
    """Established TCP connections of this machine, polled by `watch`.

    A client that does not read cannot see that its peer has closed; the kernel can.
    """

    def __init__(self) -> None:
        self._unsent: dict[tuple[int, int], int] = {}

    async def watch(self) -> None:
        """Poll until cancelled. One poll takes some ms: run it in both phases of a comparison."""
        while True:
            self._unsent = _send_queues()
            await asyncio.sleep(POLL_SECONDS)

    def unsent(self, server_port: int, client_port: int) -> int | None:
        """Bytes in the server's send queue for this client; None once the server has closed."""
        return self._unsent.get((server_port, client_port))


def _send_queues() -> dict[tuple[int, int], int]:
    """Send queue of each socket, by (local port, remote port); see proc(5), /proc/net/tcp."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (row.split() for row in rows)
    return {
        (_port(f[1]), _port(f[2])): int(f[4].partition(":")[0], 16)
        for f in fields
        if f[3] == ESTABLISHED
    }


def _port(address: str) -> int:
    return int(address.partition(":")[2], 16)


def cpu_ticks() -> tuple[int, int]:
    """(busy, total) ticks of all cores since boot; see proc(5), /proc/stat."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    ticks = [int(field) for field in first.split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 if it does not exist."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
