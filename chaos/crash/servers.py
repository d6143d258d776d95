"""Child servers, one after the other, forked from a process that has imported everything."""

import asyncio
import multiprocessing
import os
import signal
import sys
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chaos.crash.crash_points import CallRecorder, install
from chaos.crash.exit_plans import ExitPlan, ExitReport
from chaos.crash.marked_sweeps import change_jobs
from config.settings import Settings
from handlers.context import Context
from runtime import development
from runtime.process import ServerProcess
from telemetry.logging import configure_logging

EXIT_SECONDS = 40.0
"""Enough for every planned exit: a rejected sweep is retried after 10 s."""
PRELOADED = [__name__, development.__name__]


class CrashServers:
    """Call `start_child` and `wait_exit` for each child."""

    def __init__(self, settings: Settings, simulator_key: str | None, log: Path) -> None:
        self._arguments = settings, simulator_key, log
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._child: Any = None
        self._pipe: Any = None
        self._report: ExitReport | None = None
        """Of a child that has exited before it was ready."""
        self._has_data = False

    async def start_child(self, plan: ExitPlan) -> None:
        """Fork the next child; returns once it serves, or has exited in a sweep."""
        self._pipe, pipe = self._context.Pipe(duplex=False)
        self._child = self._context.Process(
            target=_serve, args=(plan, *self._arguments, pipe), kwargs={"has_data": self._has_data}
        )
        await asyncio.to_thread(self._child.start)
        pipe.close()
        self._report = await self._receive()
        self._has_data = True

    async def wait_exit(self) -> ExitReport:
        """Wait for the child's exit; kill it after EXIT_SECONDS."""
        report = self._report
        if report is None:
            receiving = asyncio.ensure_future(self._receive())
            await asyncio.wait([receiving], timeout=EXIT_SECONDS)
            if not receiving.done():
                self._child.kill()
            report = await receiving
        await asyncio.to_thread(self._child.join)
        return replace(report or ExitReport(), status=self._child.exitcode)

    async def end_child(self) -> None:
        """Kill a child without an exit plan, if there is one."""
        if self._child:
            self._child.kill()
            await asyncio.to_thread(self._child.join)

    async def _receive(self) -> ExitReport | None:
        """Return the report of an exit; None once the child serves."""
        try:
            report: ExitReport | None = await asyncio.to_thread(self._pipe.recv)
        except EOFError:
            return ExitReport()
        return report


def _serve(
    plan: ExitPlan,
    settings: Settings,
    simulator_key: str | None,
    log: Path,
    pipe: Connection,
    *,
    has_data: bool,
) -> None:
    """Run a server as server.py does, until its exit plan ends it.

    `has_data`: an earlier server has stored the first data.
    """
    with log.open("ab") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    configure_logging(settings.logging.level, as_json=True)

    def exit_process(report: ExitReport) -> None:
        pipe.send(report)
        os.kill(os.getpid(), signal.SIGKILL)

    async def skip(_server: ServerProcess, _context: Context) -> None: ...

    recorder = CallRecorder(plan, exit_process)
    install(recorder)
    change_jobs(recorder)
    if has_data:
        ServerProcess.store_first_data = skip  # type: ignore[method-assign]

    async def serve() -> None:
        await ServerProcess(settings, simulator_key).start()
        pipe.send(None)
        await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except BaseException:  # noqa: BLE001 - logged, and reported as an exit without a kill
        traceback.print_exc()
    os._exit(1)
