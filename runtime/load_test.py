"""`server.py load-test`: sends load to one's own deployment, and reports."""

import argparse
import asyncio
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.hosts import is_loopback
from core.errors import StartupError
from loadtest import options
from loadtest.load_test import LoadTest
from loadtest.page import page
from loadtest.report import LoadReport
from loadtest.target import target_of

FIRST_LINES, PROGRESS_SECONDS = 3, 5.0
"""Lines that are printed at once where there is no terminal, and seconds between later ones."""


def add_commands(commands: Any) -> None:
    """Add the command to argparse's subparsers; it needs no settings."""
    parser = commands.add_parser("load-test", help="send load to your own deployment")
    options.add_arguments(parser)
    parser.set_defaults(standalone=load_test)


async def load_test(args: argparse.Namespace) -> int:
    """0 with a report; 1 if the test could not begin, 2 for wrong arguments."""
    try:
        _check(args)
        test = LoadTest(options.options_from(args, _read))
    except StartupError as error:
        print(error, file=sys.stderr)
        return 2
    stopping, show = asyncio.Event(), _Progress()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)
    try:
        await test.run(stopping, show)
    except StartupError as error:
        show.end()
        print(error, file=sys.stderr)
        return 1
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    show.end()
    report = LoadReport(test.options, test.measurements, datetime.now(UTC))
    print(report.text(), flush=True)
    if args.html:
        args.html.write_text(page(report), "utf-8")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises StartupError for what would only be found when the test is over, or too late."""
    host = target_of(args.url).host
    if not (args.yes_this_is_mine or is_loopback(host)):
        raise StartupError(
            f"{host} is another machine. A load test slows a deployment down, and its operator "
            "must want that: add --yes-this-is-mine if you are the operator."
        )
    if args.html:
        try:
            args.html.touch()
        except OSError as error:
            raise StartupError(f"{args.html}: {error.strerror}.") from None


def _read(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else path.read_text()


class _Progress:
    """Shows lines on stderr: the present one on a terminal, some elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._lines = 0
        self._printed_at = 0.0
        self._unprinted = ""

    def __call__(self, line: str) -> None:
        if self._is_terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif self._lines < FIRST_LINES or time.monotonic() - self._printed_at >= PROGRESS_SECONDS:
            print(line, file=sys.stderr, flush=True)
            self._printed_at, self._unprinted = time.monotonic(), ""
        else:
            self._unprinted = line
        self._lines += 1

    def end(self) -> None:
        if self._unprinted or self._is_terminal:
            print(self._unprinted, file=sys.stderr)
