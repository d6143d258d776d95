"""How a crowd drives a server: each byte on a port of its own is one event for everybody."""

import asyncio
import gc
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

EVENT = (
    '{"type":"gift","live_id":1,"epoch":"a3f9c1d2e4b5a6f7","seq":1024,"ts":1764082800123,"data":'
    '{"user_id":"12345678","nickname":"somebody","face_url":"https://example.com/faces/1.png",'
    '"gender":1,"gift":{"id":3,"name":"rose","gold":10},"num":1,"gold":10}}'
).ljust(250)
"""What everybody is told: as long as a room's event."""
LOOK_SECONDS = 0.001


class Control:
    """Listens for bytes; `L` is answered with a line about this process since the last one,
    `G` with the same after its garbage is collected."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        """`tell` is called with one byte for each event that is asked for."""
        self._tell = tell
        self._blocked = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> int:
        server = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        self._keep(server.serve_forever())
        self._keep(self._look())
        port: int = server.sockets[0].getsockname()[1]
        return port

    def _keep(self, work: object) -> None:
        self._tasks.add(asyncio.ensure_future(work))  # type: ignore[call-overload]

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            for byte in data:
                if byte in b"LG":
                    if byte == ord("G"):
                        gc.collect()
                    writer.write(json.dumps(self._figures()).encode() + b"\n")
                else:
                    self._tell(bytes((byte,)))

    def _figures(self) -> dict[str, float]:
        blocked, self._blocked = self._blocked, 0.0
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {"blocked_ms": blocked * 1000, "cpu": used.ru_utime + used.ru_stime, "rss": rss()}

    async def _look(self) -> None:
        """How much later than asked for the loop comes back, at worst."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(LOOK_SECONDS)
            late = time.perf_counter() - before - LOOK_SECONDS
            self._blocked = max(self._blocked, late)


def rss() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def run(port: int, tell: Callable[[bytes], None]) -> None:
    """Say where the server and its control are, and go on until killed."""
    control = await Control(tell).listen()
    used = resource.getrusage(resource.RUSAGE_SELF)
    said = {"port": port, "control": control, "rss": rss(), "cpu": used.ru_utime + used.ru_stime}
    print(json.dumps(said), flush=True)
    await asyncio.Event().wait()
