"""Starts child servers through the fork server, one after the other."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos.crash.exit_plans import ExitPlan, ExitReport
from chaos.fleet import ROOT
from chaos.program import KILL_WITH_PARENT

READY = {"ready": True}
EXIT_SECONDS = 40.0
"""Enough for every planned exit: a rejected sweep is retried after 10 s."""


class ForkServer:
    """Call `start`, then `start_child` and `wait_exit` for each child, then `stop`."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._process: Process | None = None
        self._pid = 0
        self._report: dict[str, Any] | None = None
        """Raised for a child that has exited before it was ready."""

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*KILL_WITH_PARENT, sys.executable, "-m", "chaos.crash.fork_server"),
                cwd=ROOT,
                env=self._environment,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )

    async def start_child(self, plan: ExitPlan) -> None:
        """Fork the next child; returns once it serves, or has exited in a sweep."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(plan.line())
        self._pid = (await self._read())["pid"]
        message = await self._read()
        self._report = None if message == READY else message

    async def wait_exit(self) -> ExitReport:
        """Wait for the child's exit; kill it after EXIT_SECONDS."""
        fields, self._report = self._report, None
        if fields is None:
            message = asyncio.ensure_future(self._read())
            await asyncio.wait([message], timeout=EXIT_SECONDS)
            if not message.done():
                self._kill()
            fields = await message
        self._pid = 0
        return ExitReport.read(fields)

    async def end_child(self) -> None:
        """Kill a child without an exit plan."""
        self._kill()
        await self.wait_exit()

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

    async def _read(self) -> dict[str, Any]:
        assert self._process
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server has exited; see {self._log}")
        message: dict[str, Any] = json.loads(line)
        return message
