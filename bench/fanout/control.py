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


class LoopMonitor:
    """Measures the longest delay of the event loop, in ms."""

    worst_ms = 0.0

    async def watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(MONITOR_SECONDS)
            delay = time.perf_counter() - before - MONITOR_SECONDS
            self.worst_ms = max(self.worst_ms, 1000 * delay)


async def serve_control(port: int, publish: Callable[[bytes], None]) -> None:
    """Print ports and first figures as JSON, then publish an event for each byte until killed.

    `publish` is called with the byte. `L` is answered with a line of JSON about this process: CPU
    seconds, RSS, and the maximum delay of the loop since the last answer. `G` is the same after a
    garbage collection.
    """
    monitor = LoopMonitor()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            for byte in data:
                if byte not in b"LG":
                    publish(bytes((byte,)))
                    continue
                if byte == ord("G"):
                    gc.collect()
                figures = {"blocked_ms": monitor.worst_ms, "cpu": cpu_seconds(), "rss": rss()}
                monitor.worst_ms = 0.0
                writer.write(json.dumps(figures).encode() + b"\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    control_port = server.sockets[0].getsockname()[1]
    startup = {"port": port, "control": control_port, "rss": rss(), "cpu": cpu_seconds()}
    print(json.dumps(startup), flush=True)
    await monitor.watch()


def cpu_seconds() -> float:
    """CPU seconds, user and system, that this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rss() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
