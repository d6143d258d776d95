"""A supervised program, which is restarted whenever it exits, and the errors in its log."""

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from chaos.report import Violation

ROOT = Path(__file__).parents[1]
RESTART_SECONDS = 0.3
STOP_SECONDS = 40.0
KILL_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
"""Kills the program when its parent ends, so that a killed run leaves no processes behind."""
DATABASE_DOWN = re.compile(
    r"pymongo\.errors\."
    r"(AutoReconnect|NetworkTimeout|ServerSelectionTimeoutError|WaitQueueTimeoutError)"
)
BUG = re.compile(
    r"(Assertion|Attribute|Index|Key|Name|Recursion|Runtime|Type|Value|ZeroDivision)Error\b"
)
EXPECTED = {("bus_disconnected", "RuntimeError")}
"""uvloop raises RuntimeError for a write to a closed transport; the bus counts it as a loss."""


class Program:
    """One program and its log; runs from `start` to `stop`, except while it is held down."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        ready_marker: bytes = b"",
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Take the environment, by default that of this process.

        `ready_marker` appears in the log once it is ready; before that, any exit is allowed.
        `stop_seconds`: time for an exit at SIGTERM.
        """
        self.log = log
        self.starts = 0
        self.bad_exits: list[Violation] = []
        """Exits that were not requested or not as requested."""
        self._command = (*KILL_WITH_PARENT, *command)
        self._environment = environment
        self._ready_marker = ready_marker
        self._stop_seconds = stop_seconds
        self._stop_signal = 0
        """The signal that requested the exit, or 0."""
        self._process: Process | None = None
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._supervisor: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def stop(self) -> None:
        """End it for good: SIGTERM, and SIGKILL after `stop_seconds`."""
        if self._supervisor:
            self._supervisor.cancel()
        await self.restart()

    async def restart(self) -> None:
        """Send SIGTERM and wait for the exit."""
        process = self._process
        if process is None:
            return
        self.resume()
        self._request_exit(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._stop_seconds)
        except TimeoutError:
            self.bad_exits.append(("drain_timeout", f"no exit within {self._stop_seconds} s"))
            self._request_exit(signal.SIGKILL)
            await process.wait()

    def hold_down(self) -> None:
        """kill -9, without a restart until `release`."""
        self._allowed.clear()
        self._request_exit(signal.SIGKILL)

    def release(self) -> None:
        self._allowed.set()

    def suspend(self) -> None:
        """SIGSTOP: connections stay open, and nothing answers, until `resume`."""
        self._send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._send_signal(signal.SIGCONT)

    async def _supervise(self) -> None:
        while True:
            await self._allowed.wait()
            with self.log.open("ab") as output:
                start, self._stop_signal = output.tell(), 0
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    cwd=ROOT,
                    env=self._environment,
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    start_new_session=True,
                )
            self.starts += 1
            status, requested = await self._process.wait(), self._stop_signal
            was_expected = requested == signal.SIGKILL or (requested and status == 0)
            was_ready = self._ready_marker in self.log.read_bytes()[start:]
            if was_ready and not was_expected:
                kind = "drain_failed" if requested else "unexpected_exit"
                self.bad_exits.append((kind, f"exit status {status}"))
            await asyncio.sleep(RESTART_SECONDS)

    def _request_exit(self, number: int) -> None:
        self._stop_signal = number
        self._send_signal(number)

    def _send_signal(self, number: int) -> None:
        process = self._process
        if process and process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def unexpected_errors(log: Path) -> Iterator[str]:
    """Tracebacks, and names of exception types that indicate a bug where the log has no traceback.

    Errors of a database that is down are expected.
    """
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("Traceback"):
            yield line
        if line.startswith("{") and (error := _unexpected_error(line)):
            yield error


def _unexpected_error(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""  # truncated by kill -9
    if trace := entry.get("exception"):
        last: str = trace.strip().splitlines()[-1]
        return "" if DATABASE_DOWN.match(last) else f"{entry.get('event')}: {last}"
    if (entry.get("event"), entry.get("error")) in EXPECTED:
        return ""
    errors = (entry.get(name) for name in ("error", "why"))
    bugs = (error for error in errors if isinstance(error, str) and BUG.match(error))
    return next((f"{entry.get('event')}: {bug}" for bug in bugs), "")
