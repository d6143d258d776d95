"""The nursery as the run sees it: servers that come one after the other, and how each dies."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Any

from chaos.crash.steps import Death, Fate
from chaos.fleet import ROOT
from chaos.program import WITH_US

DEATH_SECONDS = 40.0
"""By then one that was to die at its step has: a sweep that was refused tries again in 10 s."""


class Nursery:
    """`start`, then `bear` and the death of one after the other, then `stop`."""

    def __init__(
        self, sockets: Sequence[socket], simulator: str, environment: Mapping[str, str], log: Path
    ) -> None:
        """The sockets outlive every server: whoever calls in between waits for the next one."""
        numbers = [sock.fileno() for sock in sockets]
        words = ("-m", "chaos.crash.nursery", "--simulator", simulator, "--sockets")
        self._words = (*WITH_US, sys.executable, *words, *map(str, numbers))
        self._numbers = numbers
        self._environment = environment
        self._log = log
        self._process: Process | None = None
        self._pid = 0

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._words,
                cwd=ROOT,
                env=self._environment,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                pass_fds=self._numbers,
                start_new_session=True,
            )

    async def bear(self, fate: Fate) -> None:
        """The next one; requests may be sent to it at once."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(fate.line())
        self._pid = (await self._hear())["pid"]

    async def death(self, seconds: float = DEATH_SECONDS) -> Death:
        """Waits for it; whoever lives for longer is killed."""
        heard = asyncio.ensure_future(self._hear())
        await asyncio.wait([heard], timeout=seconds)
        if not heard.done():
            self._kill()
        self._pid, said = 0, await heard
        return Death.read(said)

    async def end(self) -> None:
        """One that has done what it was there for."""
        self._kill()
        await self.death()

    async def stop(self) -> None:
        if self._process:
            self._kill()
            assert self._process.stdin
            self._process.stdin.close()
            await self._process.wait()

    def _kill(self) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    async def _hear(self) -> dict[str, Any]:
        assert self._process
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the nursery has ended; see {self._log}")
        said: dict[str, Any] = json.loads(line)
        return said
