"""Fork server: imports everything once and forks one server after the other.

A separate program without threads and event loop; `ForkServer` in children.py talks to it.
"""

import argparse
import asyncio
import functools
import gc
import json
import os
import re
import signal
import socket
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
from runtime import development, process
from runtime.process import ServerProcess
from telemetry.logging import configure_logging
from tencent import merchant


def main(arguments: list[str]) -> None:
    """Read exit plans, one per line; for each server write its pid, then its exit report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, nargs="+", required=True)
    args = parser.parse_args(arguments)
    settings, dev = _settings()
    sockets = [socket.socket(fileno=number) for number in args.sockets]
    for sock in sockets:
        sock.settimeout(0)  # never blocks
    module: Any = process
    module.listen = lambda _host, _port: sockets
    _prepare(settings)
    gc.freeze()
    for line in sys.stdin.buffer:
        report_in, report_out = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(report_in)
            _run_child(ExitPlan.read(line), settings, dev, report_out)
        os.close(report_out)
        _wait(pid, report_in)
        ServerProcess._store_first_data = _skip  # type: ignore[method-assign] # noqa: SLF001


def _settings() -> tuple[Settings, DevSecrets]:
    """Load settings as server.py does, and configure logging."""
    settings = load(Path("settings.yaml"), os.environ)
    configure_logging(settings.logging.level, as_json=True)
    return fill_in_secrets(settings, settings.mongodb.data_dir.parent / "dev-secrets.json")


def _prepare(settings: Settings) -> None:
    """Do once what takes a server half of its start: modules, RSA keys, regular expressions."""
    assert development
    module: Any = merchant
    module.read_key = functools.cache(merchant.read_key)
    for key in (settings.pay.private_key, settings.pay.public_key):
        module.read_key(key)
    for route in ROUTES:
        re.compile(route.path.rstrip("/") + "/?$")


def _wait(pid: int, report_in: int) -> None:
    """Wait until the child is dead."""
    _write({"pid": pid})
    with os.fdopen(report_in, "rb") as pipe:
        report = ExitReport.read(json.loads(pipe.read() or b"{}"))  # EOF when the child is gone
    _, status = os.waitpid(pid, 0)
    _write(asdict(replace(report, status=os.waitstatus_to_exitcode(status))))


def _write(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _skip(_server: ServerProcess, _context: Context) -> None:
    """The first child has stored it."""


def _run_child(plan: ExitPlan, settings: Settings, dev: DevSecrets, report_out: int) -> NoReturn:
    """Run a server on the inherited sockets."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def exit_process(report: ExitReport) -> None:
        os.write(report_out, json.dumps(asdict(report)).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    crash_points.install(CallRecorder(plan, exit_process))

    async def serve() -> None:
        await ServerProcess(settings, dev).start()
        await asyncio.Event().wait()  # until it is killed

    try:
        asyncio.run(serve())
    except BaseException:  # noqa: BLE001 - the child must not continue the fork server's loop
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
