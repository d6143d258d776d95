"""Control port of a measured server: each byte requests an event."""

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
"""Event that the peers send, as long as a typical event of a room."""
MONITOR_SECONDS = 0.001


class ControlServer:
    """TCP server that publishes an event per byte and reports figures.

    `L` is answered with a line of JSON about this process: CPU seconds, RSS, and the maximum loop
    delay since the last answer. `G` is the same after a garbage collection.
    """

    def __init__(self, publish: Callable[[bytes], None]) -> None:
        """`publish` is called with the control byte of each requested event."""
        self._publish = publish
        self._max_delay = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> int:
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        self._start_task(server.serve_forever())
        self._start_task(self._monitor_loop())
        port: int = server.sockets[0].getsockname()[1]
        return port

    def _start_task(self, work: object) -> None:
        self._tasks.add(asyncio.ensure_future(work))  # type: ignore[call-overload]

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(1024):
            for byte in data:
                if byte in b"LG":
                    if byte == ord("G"):
                        gc.collect()
                    writer.write(json.dumps(self._figures()).encode() + b"\n")
                else:
                    self._publish(bytes((byte,)))

    def _figures(self) -> dict[str, float]:
        max_delay, self._max_delay = self._max_delay, 0.0
        return {"blocked_ms": max_delay * 1000, "cpu": cpu_seconds(), "rss": rss()}

    async def _monitor_loop(self) -> None:
        """Record the maximum delay of the event loop."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(MONITOR_SECONDS)
            delay = time.perf_counter() - before - MONITOR_SECONDS
            self._max_delay = max(self._max_delay, delay)


def cpu_seconds() -> float:
    """CPU seconds, user and system, that this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rss() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def serve_control(port: int, publish: Callable[[bytes], None]) -> None:
    """Print ports and first figures as JSON, then serve the control port until killed."""
    control_port = await ControlServer(publish).listen()
    startup = {"port": port, "control": control_port, "rss": rss(), "cpu": cpu_seconds()}
    print(json.dumps(startup), flush=True)
    await asyncio.Event().wait()
