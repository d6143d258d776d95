"""QLive: server for live matchmaking rooms, and its command line."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from config.loading import InvalidSettings, load
from config.settings import Settings
from core.errors import QLiveError, StartupError
from core.version import VERSION
from runtime import commands, gc_tuning
from runtime.doctor import add_doctor
from runtime.process import ServerProcess
from storage.errors import storage_error
from telemetry.logging import configure_logging

log = structlog.get_logger("qlive")


def main(arguments: list[str]) -> int:
    """Run a command and return the exit status.

    0 success, 1 refused or failed, 2 wrong arguments or settings, 130 ended by Ctrl-C.
    """
    args = parse(arguments)
    try:
        settings = load(args.settings, os.environ)
    except InvalidSettings as invalid:
        if sys.stderr.isatty():
            print("Invalid settings:", *invalid.problems, sep="\n  ", file=sys.stderr)
        else:
            configure_logging("info", as_json=True)
            log.error("settings_invalid", problems=invalid.problems)
        return 2
    configure_logging(args.log_level or settings.logging.level, as_json=settings.logging.as_json)
    simulator_key = None
    if settings.environment == "development":
        from runtime.development import fill_in  # noqa: PLC0415 - not in production

        settings, simulator_key = fill_in(settings)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status: int = runner.run(args.run(settings, simulator_key, args))
    except KeyboardInterrupt:
        return 130
    except (StartupError, QLiveError, OSError) as failure:
        return _fail(settings, str(failure))
    except Exception as failure:
        if storage_error(failure) is None:
            raise
        return _fail(settings, "MongoDB is unavailable; check mongodb.uri.")
    return status


def _fail(settings: Settings, why: str) -> int:
    if settings.logging.as_json:
        log.error("command_failed", why=why)
    else:
        print(why, file=sys.stderr)
    return 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the parsed arguments, with the function that carries them out.

    Raises SystemExit if they are wrong.
    """
    parser = argparse.ArgumentParser(prog="server.py", description=__doc__)
    parser.add_argument(
        "--settings", type=Path, default=Path("settings.yaml"), help="default: settings.yaml"
    )
    parser.add_argument("--version", action="version", version=VERSION)
    parser.set_defaults(run=_serve, log_level="")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    subparsers.add_parser("serve", help="serve until SIGTERM or Ctrl-C (the default)")
    commands.add_commands(subparsers)
    add_doctor(subparsers)
    return parser.parse_args(arguments)


async def _serve(settings: Settings, simulator_key: str | None, _args: argparse.Namespace) -> int:
    process, stopping = ServerProcess(settings, simulator_key), asyncio.Event()
    stop_on_signal(stopping)
    await process.start()
    gc_tuning.freeze_startup_objects()
    if simulator_key and not settings.logging.as_json:
        from runtime.development import welcome  # noqa: PLC0415 - not in production

        print(welcome(process.address), flush=True)
    await stopping.wait()
    await process.stop_listening()
    await process.stop()
    return 0


def stop_on_signal(stopping: asyncio.Event) -> None:
    signals = [signal.SIGTERM, signal.SIGINT]
    # The end of its terminal would end the process without draining.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signals.append(signal.SIGHUP)
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
