"""A supervised program, which is restarted whenever it exits."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

RESTART_SECONDS = 0.3
STOP_SECONDS = 40.0
KILL_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
"""Kills the program when its parent ends, so that a killed run leaves no processes behind."""


class Program:
    """One program and its log; runs from `start` to `stop`, except while it is held down."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        ready_marker: bytes = b"",
    ) -> None:
        """`ready_marker` appears in the log once it is ready; before that, any exit is allowed."""
        self.log = log
        self.starts = 0
        self.bad_exits: list[tuple[str, str]] = []
        """Exits that were not requested or not as requested: (kind, detail)."""
        self._command = (*KILL_WITH_PARENT, *command)
        self._folder = folder
        self._environment = dict(environment)
        self._ready_marker = ready_marker
        self._log_offset = 0
        self._stop_signal = 0
        """The signal that requested the exit, or 0."""
        self._process: Process | None = None
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process and process.returncode is None else None

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    def start(self) -> None:
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def stop(self) -> None:
        """End it for good: SIGTERM, and SIGKILL after STOP_SECONDS."""
        if self._supervisor:
            self._supervisor.cancel()
        await self._terminate(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def hold_down(self) -> None:
        """kill -9, without a restart until `release`."""
        self._allowed.clear()
        self._request_exit(signal.SIGKILL)

    def release(self) -> None:
        self._allowed.set()

    async def restart(self) -> None:
        """Send SIGTERM and wait for the exit."""
        await self._terminate(signal.SIGTERM)

    async def _supervise(self) -> None:
        while True:
            await self._allowed.wait()
            with self.log.open("ab") as output:
                self._log_offset, self._stop_signal = output.tell(), 0
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    start_new_session=True,
                )
            self.starts += 1
            self._check_exit(await self._process.wait())
            await asyncio.sleep(RESTART_SECONDS)

    async def _terminate(self, number: int) -> None:
        process = self._process
        if process is None:
            return
        self.send_signal(signal.SIGCONT)
        self._request_exit(number)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.bad_exits.append(("drain_timeout", f"no exit within {STOP_SECONDS} s"))
            self._request_exit(signal.SIGKILL)
            await process.wait()

    def _request_exit(self, number: int) -> None:
        self._stop_signal = number
        self.send_signal(number)

    def _check_exit(self, status: int) -> None:
        requested = self._stop_signal
        if requested == signal.SIGKILL or (requested and status == 0) or not self._was_ready():
            return
        kind = "drain_failed" if requested else "unexpected_exit"
        self.bad_exits.append((kind, f"exit status {status}"))

    def _was_ready(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._log_offset)
            return self._ready_marker in log.read()
