"""Fork server: imports everything once and forks one server after the other.

A separate program without threads and event loop; `ForkServer` in children.py talks to it.
"""

import asyncio
import functools
import gc
import json
import os
import re
import signal
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from chaos.crash import crash_points
from chaos.crash.call_recorder import CallRecorder
from chaos.crash.exit_plans import ExitPlan, ExitReport
from config.loading import load
from config.settings import Settings
from devtools.development_secrets import DevSecrets, fill_in_secrets
from handlers.context import Context
from handlers.routes import ROUTES
from runtime import development
from runtime.process import ServerProcess
from telemetry.logging import configure_logging
from tencent import merchant

READY = {"ready": True}


def main() -> None:
    """Read exit plans, one per line; for each server write pid, READY, and its exit report."""
    settings = load(Path("settings.yaml"), os.environ)
    configure_logging(settings.logging.level, as_json=True)
    settings, dev = fill_in_secrets(settings, settings.mongodb.data_dir.parent / "dev-secrets.json")
    _prepare(settings)
    gc.freeze()
    for line in sys.stdin.buffer:
        report_in, report_out = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(report_in)
            _run_child(ExitPlan.read(line), settings, dev, report_out)
        os.close(report_out)
        _follow(pid, report_in)
        ServerProcess.store_first_data = _skip  # type: ignore[method-assign]


async def _skip(_server: ServerProcess, _context: Context) -> None:
    """The first child has stored it."""


def _prepare(settings: Settings) -> None:
    """Do once what takes a server half of its start: modules, RSA keys, regular expressions."""
    assert development
    module: Any = merchant
    module.read_key = functools.cache(merchant.read_key)
    for key in (settings.pay.private_key, settings.pay.public_key):
        module.read_key(key)
    for route in ROUTES:
        re.compile(route.path.rstrip("/") + "/?$")


def _follow(pid: int, report_in: int) -> None:
    """Pass on what the child writes until it is dead."""
    _write({"pid": pid})
    report = ExitReport()
    with os.fdopen(report_in) as pipe:
        for line in pipe:
            message = json.loads(line)
            if message == READY:
                _write(READY)
            else:
                report = ExitReport.read(message)
    _, status = os.waitpid(pid, 0)
    _write(asdict(replace(report, status=os.waitstatus_to_exitcode(status))))


def _write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _run_child(
    plan: ExitPlan, settings: Settings, dev: DevSecrets | None, report_out: int
) -> NoReturn:
    """Run a server as server.py does."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(message: dict[str, Any]) -> None:
        os.write(report_out, json.dumps(message).encode() + b"\n")

    def exit_process(exit_report: ExitReport) -> None:
        report(asdict(exit_report))
        os.kill(os.getpid(), signal.SIGKILL)

    crash_points.install(CallRecorder(plan, exit_process))

    async def serve() -> None:
        await ServerProcess(settings, dev).start()
        report(READY)
        await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except BaseException:  # noqa: BLE001 - the child must not continue the fork server's loop
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    main()
