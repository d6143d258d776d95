"""The crowd (crowd.c) and the server that it listens to, as programs of their own."""

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
START_SECONDS = 300.0
RUN_SECONDS = 300.0
REST_SECONDS = 0.6
"""In which a server may put away what opening so many sockets has left behind."""


class NoCompiler(Exception):
    """There is no `cc` here."""


def compile_one(source: Path, to: Path, *options: str) -> Path:
    """NoCompiler."""
    try:
        command = ["cc", "-O2", *options, "-o", str(to), str(source)]
        subprocess.run(command, check=True)  # noqa: S603 - our own sources
    except FileNotFoundError:
        raise NoCompiler from None
    return to


def compile_all(folder: Path) -> tuple[Path, Path]:
    """(the crowd, the library with the C send loop); NoCompiler."""
    crowd = compile_one(HERE / "crowd.c", folder / "crowd")
    loop = compile_one(HERE / "sendloop.c", folder / "sendloop.so", "-shared", "-fPIC")
    return crowd, loop


@dataclass(frozen=True, slots=True)
class Figures:
    """One command: what the crowd saw, and what the server spent on it."""

    seconds: float
    deliveries: int
    waits: list[float]
    """In ms, from asking for an event until the last member had it."""
    spreads: list[float]
    """In ms, from the first member to the last."""
    cpu: float
    """Seconds of the server."""
    blocked_ms: float
    rss: int

    @property
    def per_cpu_second(self) -> float:
        return self.deliveries / self.cpu


class Crowd:
    """A server with so many listeners."""

    def __init__(
        self,
        program: asyncio.subprocess.Process,
        server: asyncio.subprocess.Process,
        opened: Mapping[str, Any],
    ) -> None:
        self.people = int(opened["people"])
        self.opening_seconds = float(opened["seconds"])
        self.opening_cpu = 0.0
        self.idle_bytes = 0.0
        """Of the server, for each of its sockets."""
        self._program = program
        self._server = server
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def ask(self, command: str) -> Figures:
        """`quiet COUNT WAY` or `busy COUNT RATE WAY`."""
        before = await self.server()
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(command.encode() + b"\n")
        async with asyncio.timeout(RUN_SECONDS):
            said = await self._program.stdout.readuntil(b"\n")
        after = await self.server()
        cpu = after["cpu"] - before["cpu"]
        seen = json.loads(said)
        seen.pop("crowd_cpu")
        return Figures(**seen, cpu=cpu, blocked_ms=after["blocked_ms"], rss=int(after["rss"]))

    async def server(self, ask: bytes = b"L") -> dict[str, float]:
        """How the server has fared since it was last asked."""
        self._writer.write(ask)
        async with asyncio.timeout(RUN_SECONDS):
            figures: dict[str, float] = json.loads(await self._reader.readline())
        return figures

    def rest(self, *, still: bool) -> None:
        """Stop the server, so that it takes nothing from whoever is measured; or let it go on."""
        self._server.send_signal(signal.SIGSTOP if still else signal.SIGCONT)

    async def settle(self, before: Mapping[str, Any]) -> None:
        """`before` is what the server said when it had no socket yet."""
        reach = asyncio.open_connection("127.0.0.1", before["control"])
        self._reader, self._writer = await reach
        self.opening_cpu = (await self.server())["cpu"] - before["cpu"]
        await asyncio.sleep(REST_SECONDS)
        rss = (await self.server(b"G"))["rss"]
        self.idle_bytes = (rss - before["rss"]) / self.people


@contextlib.asynccontextmanager
async def crowd(
    people: int,
    server: Sequence[str],
    program: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Crowd]:
    """`server` is a command that prints {"port", "control", "rss"} once it listens."""
    async with running(server, environment) as serving:
        said = json.loads(await line(serving))
        where = [*options, str(said["port"]), str(said["control"]), str(people)]
        async with running([str(program), *where]) as listening:
            it = Crowd(listening, serving, json.loads(await line(listening)))
            await it.settle(said)
            yield it


@contextlib.asynccontextmanager
async def listening(command: Sequence[str]) -> AsyncIterator[None]:
    """A crowd that only listens, once all of it does."""
    async with running(command) as program:
        await line(program)
        yield


async def line(program: asyncio.subprocess.Process) -> bytes:
    """The next line that it prints."""
    assert program.stdout
    async with asyncio.timeout(START_SECONDS):
        return await program.stdout.readline()


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that is killed at the end of the block."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=stderr, env=environment, limit=1 << 24
    )
    try:
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        await program.wait()
