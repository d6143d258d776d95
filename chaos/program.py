"""A program that is started again whenever it ends, until it is held down."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

AGAIN_SECONDS = 0.3
END_SECONDS = 40.0
WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Ends the program with whoever started it, so that a killed run leaves nothing behind."""


class Program:
    """One program with its log; it runs while `keep` does, but for when it is held down."""

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        says_ready: bytes = b"",
    ) -> None:
        """`says_ready` stands in its log once it has started: before, it may end as it likes."""
        self.log = log
        self.starts = 0
        self.bad_ends: list[tuple[str, str]] = []
        """Ends that nobody asked for, or that were not what was asked for: (kind, words)."""
        self._words = (*WITH_US, *words)
        self._folder = folder
        self._environment = dict(environment)
        self._says_ready = says_ready
        self._log_began = 0
        self._asked_to_end = 0
        """With which signal, if it was."""
        self._process: Process | None = None
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._kept: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.returncode is None else None

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    @property
    def up(self) -> bool:
        return self.pid is not None and self._allowed.is_set()

    def start(self) -> None:
        self._kept = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """For good: politely, then not."""
        if self._kept:
            self._kept.cancel()
        await self._end(signal.SIGTERM)

    def send(self, number: int) -> None:
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def knock_down(self) -> None:
        """kill -9, and stay down until `let_up`."""
        self._allowed.clear()
        self._ask_to_end(signal.SIGKILL)

    def let_up(self) -> None:
        self._allowed.set()

    async def deploy(self) -> float:
        """SIGTERM, its end, and the next one: seconds until it ended."""
        began = time.monotonic()
        await self._end(signal.SIGTERM)
        return time.monotonic() - began

    async def _keep(self) -> None:
        while True:
            await self._allowed.wait()
            with self.log.open("ab") as output:
                self._log_began, self._asked_to_end = output.tell(), 0
                self._process = await asyncio.create_subprocess_exec(
                    *self._words,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    start_new_session=True,
                )
            self.starts += 1
            self._note_end(await self._process.wait())
            await asyncio.sleep(AGAIN_SECONDS)

    async def _end(self, number: int) -> None:
        process = self._process
        if process is None:
            return
        self.send(signal.SIGCONT)
        self._ask_to_end(number)
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            self.bad_ends.append(("drain_killed", f"did not end within {END_SECONDS} s"))
            self._ask_to_end(signal.SIGKILL)
            await process.wait()

    def _ask_to_end(self, number: int) -> None:
        self._asked_to_end = number
        self.send(number)

    def _note_end(self, status: int) -> None:
        asked = self._asked_to_end
        if asked == signal.SIGKILL or (asked and status == 0) or not self._was_ready():
            return
        kind = "drain_failed" if asked else "died_by_itself"
        self.bad_ends.append((kind, f"with status {status}"))

    def _was_ready(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._log_began)
            return self._says_ready in log.read()
