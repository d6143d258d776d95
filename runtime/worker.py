"""A worker process: its handle in the supervisor, its own arguments, and the link between both.

It inherits listening sockets that its supervisor keeps open: connections queued there wait for the
next worker when this one dies. It also inherits one end of a socketpair, its supervisor link: the
worker writes READY once it serves, then heartbeats, and reads EOF when the supervisor is gone, even
after kill -9.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from telemetry.metrics_files import WorkerMetricsFile

READY = b"ready\n"
HEARTBEAT, HEARTBEAT_SECONDS = b".", 1.0
SILENT_SECONDS = 15.0
"""Time without a heartbeat after which a worker counts as hung and is killed, although its process
exists: connections queued on its sockets would wait in vain."""
KILL_GRACE_SECONDS = 30.0
"""Time beyond server.drain_seconds before a worker is killed."""
METRICS_VARIABLE = "WORKER_METRICS"
"""Environment variable with the path of the worker's metrics: not an option, which the workers of
an older release would refuse."""
PROGRAM = Path(sys.argv[0]).absolute()
"""The path by which this process was started, not the path of this file: /opt/qlive is a symlink to
a release, and once it points to the next one, new workers run that."""
log = structlog.get_logger("qlive.worker")


@dataclass(frozen=True, slots=True)
class WorkerArgs:
    """Command-line arguments of a worker; secrets come in its environment."""

    sockets: list[socket.socket]
    supervisor_link: socket.socket
    simulator: str
    """Address of the simulator that all workers share; "" if there is none."""
    first: bool
    """This worker creates the indexes and stores the initial data."""
    metrics_file: WorkerMetricsFile | None = None
    """None if the supervisor, of an older release, adds up no metrics."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Worker.start` passes and `worker_args` reads."""
    parser.add_argument("--sockets", type=int, nargs="+", required=True)
    # Options keep their names: in a renewal the supervisor may be of an older release.
    parser.add_argument("--lifeline", dest="supervisor_link", type=int, required=True)
    parser.add_argument("--simulator", default="")
    parser.add_argument("--first", action="store_true")


def worker_args(args: argparse.Namespace) -> WorkerArgs:
    """Take over the inherited file descriptors."""
    sockets = [socket.socket(fileno=number) for number in args.sockets]
    for sock in sockets:
        sock.settimeout(0)  # never blocks
    link = socket.socket(fileno=args.supervisor_link)
    path = os.environ.get(METRICS_VARIABLE)
    metrics_file = WorkerMetricsFile(Path(path)) if path else None
    return WorkerArgs(sockets, link, args.simulator, args.first, metrics_file)


@asynccontextmanager
async def supervisor_link(
    args: WorkerArgs, stopping: asyncio.Event, seconds: float
) -> AsyncIterator[Callable[[], None]]:
    """Connects the worker to its supervisor.

    Yields a callback to call once the worker serves, and sets the event when the supervisor is
    gone. From then on nothing would kill a worker that hangs: it exits by itself after `seconds`
    plus KILL_GRACE_SECONDS.
    """
    reader, writer = await asyncio.open_connection(sock=args.supervisor_link)

    async def watch_supervisor() -> None:
        with suppress(OSError):  # a killed supervisor may leave a reset instead of EOF
            await reader.read()
        log.warning("supervisor_lost")
        stopping.set()
        asyncio.get_running_loop().call_later(seconds + KILL_GRACE_SECONDS, os._exit, 1)

    async def send_heartbeats() -> None:
        while not tasks[0].done():  # until the supervisor is gone
            await asyncio.sleep(HEARTBEAT_SECONDS)
            writer.write(HEARTBEAT)

    def report_ready() -> None:
        writer.write(READY)
        tasks.append(asyncio.create_task(send_heartbeats()))

    tasks = [asyncio.create_task(watch_supervisor())]
    try:
        yield report_ready
    finally:
        if tasks[0].done() and args.metrics_file:  # otherwise the supervisor keeps its counters
            args.metrics_file.remove()
        for task in tasks:
            task.cancel()
        writer.close()


class Worker:
    """A worker process; create it with `await Worker.start(...)`."""

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._started_at = time.monotonic()

    @classmethod
    async def start(
        cls,
        before: Sequence[str],
        after: Sequence[str],
        environment: Mapping[str, str],
        sockets: Sequence[socket.socket],
    ) -> Self:
        """`before` and `after` surround `worker` on the command line. Raises OSError."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        fds = [sock.fileno() for sock in (*sockets, theirs)]
        options = ("--sockets", *map(str, fds[:-1]), "--lifeline", str(fds[-1]))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(PROGRAM), *before, "worker", *options, *after),
                env=environment,
                pass_fds=fds,
                stdin=DEVNULL,
                # Its own session: the supervisor gets the terminal's signals and passes them on.
                start_new_session=True,
            )
        except BaseException:
            writer.close()
            raise
        finally:
            theirs.close()
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._started_at

    async def wait_ready(self, seconds: float) -> bool:
        """Wait until it serves; False on exit or timeout."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if await self._reader.readline() == READY:
                    return True
                await self.wait_ended()  # it may still be logging the reason
        return False

    async def supervise(self) -> int:
        """As `wait_ended`; kills a worker whose heartbeats stop, or that hangs while it exits."""
        ended = asyncio.ensure_future(self.wait_ended())
        timeout = KILL_GRACE_SECONDS if await self._link_closed() else 0.0
        await asyncio.wait({ended}, timeout=timeout)
        if not ended.done():
            log.error("worker_heartbeat_lost", pid=self.pid)
            self._signal(signal.SIGKILL)
        return await ended

    async def _link_closed(self) -> bool:
        """Wait for EOF on the link (True), or for SILENT_SECONDS without a heartbeat (False).

        Counts missing heartbeats, not time: if this process was suspended, that is not the
        worker's silence.
        """
        missed = 0
        while missed * HEARTBEAT_SECONDS < SILENT_SECONDS:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    if not await self._reader.read(64):
                        return True
                missed = 0
            except TimeoutError:
                missed += 1
            except OSError:
                return True
        return False

    async def wait_ended(self) -> int:
        """Wait for the exit; returns the exit status, -9 if it was killed."""
        status = await self._process.wait()
        self._writer.close()
        return status

    async def terminate(self, seconds: float) -> int:
        """Send SIGTERM, and SIGKILL after `seconds`; no effect after its exit."""
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait_ended(), seconds)
        except TimeoutError:
            log.error("worker_killed", pid=self.pid, after_seconds=seconds)
            self._signal(signal.SIGKILL)
            return await self.wait_ended()

    def _signal(self, number: int) -> None:
        # Not Process.terminate: Popen would poll first and reap an exited process, so that asyncio
        # could only report the exit status 255.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
