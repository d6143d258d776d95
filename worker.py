"""A worker: one process of several on a port, as its supervisor sees it and as it sees itself.

It inherits its part of the port, which its supervisor keeps open: who queues there waits for the
next worker when this one dies. It also inherits one end of its lifeline, a socketpair: on it a
worker says READY once it serves, beats from then on, and hears by its end that the supervisor is
gone, even by kill -9.
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

READY = b"ready\n"
BEAT, BEAT_SECONDS = b".", 1.0
SILENT_SECONDS = 15.0
"""A worker that has not beaten for so long has stopped, whatever the kernel says: those who queue
at its part of the port wait for nothing."""
OVERTIME_SECONDS = 30.0
"""What a worker may take beyond server.drain_seconds before it is killed."""
PROGRAM = Path(sys.argv[0]).absolute()
"""As this process was started, and not where this file is: /opt/qlive is a link to a release, and
once it leads to the next one, so do the workers that are started from then on."""
log = structlog.get_logger("qlive.worker")


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is told on its command line; secrets come in its environment."""

    sockets: list[socket.socket]
    lifeline: socket.socket
    simulator: str
    """Where the one simulator of all workers answers; "" when there is none."""
    first: bool
    """It makes the indexes and stores the first data for all."""


def add_words(parser: argparse.ArgumentParser) -> None:
    """Those which `Worker.start` says and `place` reads."""
    parser.add_argument("--sockets", type=int, nargs="+", required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    parser.add_argument("--simulator", default="")
    parser.add_argument("--first", action="store_true")


def place(asked: argparse.Namespace) -> Place:
    """Takes over the inherited file descriptors."""
    sockets = [socket.socket(fileno=number) for number in asked.sockets]
    for sock in sockets:
        sock.settimeout(0)  # never blocks
    return Place(sockets, socket.socket(fileno=asked.lifeline), asked.simulator, asked.first)


@asynccontextmanager
async def lifeline(
    place: Place, asked_to_stop: asyncio.Event, seconds: float
) -> AsyncIterator[Callable[[], None]]:
    """Yields what to call once the worker serves, and sets the event when the supervisor is gone.

    From then on nobody is left who would kill a worker that hangs: it ends itself `seconds` and
    OVERTIME_SECONDS later.
    """
    reader, writer = await asyncio.open_connection(sock=place.lifeline)

    async def listen() -> None:
        with suppress(OSError):  # a supervisor that is killed may leave a reset, not an end
            await reader.read()
        log.warning("supervisor_gone")
        asked_to_stop.set()
        asyncio.get_running_loop().call_later(seconds + OVERTIME_SECONDS, os._exit, 1)

    async def beat() -> None:
        while not tasks[0].done():  # nobody is left to hear it
            await asyncio.sleep(BEAT_SECONDS)
            writer.write(BEAT)

    def say_ready() -> None:
        writer.write(READY)
        tasks.append(asyncio.create_task(beat()))

    tasks = [asyncio.create_task(listen())]
    try:
        yield say_ready
    finally:
        for task in tasks:
            task.cancel()
        writer.close()


class Worker:
    """One process from its start to its end; `await Worker.start(...)` makes one."""

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._lifeline = writer
        self._began = time.monotonic()

    @classmethod
    async def start(
        cls,
        before: Sequence[str],
        after: Sequence[str],
        environment: Mapping[str, str],
        sockets: Sequence[socket.socket],
    ) -> Self:
        """`before` and `after` are what the command line says around `worker`; OSError."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        numbers = [sock.fileno() for sock in (*sockets, theirs)]
        given = ("--sockets", *map(str, numbers[:-1]), "--lifeline", str(numbers[-1]))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(PROGRAM), *before, "worker", *given, *after),
                env=environment,
                pass_fds=numbers,
                stdin=DEVNULL,
                # A session of its own: what the terminal says, the supervisor hears and passes on.
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
        return time.monotonic() - self._began

    async def serves(self, seconds: float) -> bool:
        """Waits for it to say so; False when it ends before, or takes longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if await self._reader.readline() == READY:
                    return True
                await self.ended()  # it may still be saying why
        return False

    async def watched(self) -> int:
        """As `ended`; one that serves and falls silent, or that hangs on its way out, is killed."""
        ended = asyncio.ensure_future(self.ended())
        patience = OVERTIME_SECONDS if await self._hung_up() else 0.0
        await asyncio.wait({ended}, timeout=patience)
        if not ended.done():
            log.error("worker_silent", pid=self.pid)
            self._signal(signal.SIGKILL)
        return await ended

    async def _hung_up(self) -> bool:
        """Waits for the end of its lifeline, True, or until it has been silent for SILENT_SECONDS.

        Counted in beats that are missing: when this process is stopped for a while, and goes on,
        it is not the worker that was silent.
        """
        missing = 0
        while missing * BEAT_SECONDS < SILENT_SECONDS:
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    if not await self._reader.read(64):
                        return True
                missing = 0
            except TimeoutError:
                missing += 1
            except OSError:
                return True
        return False

    async def ended(self) -> int:
        """Waits for its end; the exit status, -9 when it was killed."""
        status = await self._process.wait()
        self._lifeline.close()
        return status

    async def end(self, seconds: float) -> int:
        """Lets it drain for so long, then kills it. Harmless when it has ended."""
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.ended(), seconds)
        except TimeoutError:
            log.error("worker_killed", pid=self.pid, after_seconds=seconds)
            self._signal(signal.SIGKILL)
            return await self.ended()

    def _signal(self, number: int) -> None:
        # Not Process.terminate: Popen first looks whether the process has ended, and thereby
        # takes its exit status away from asyncio, which then makes it 255.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
