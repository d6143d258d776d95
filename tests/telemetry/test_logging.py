import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import NoReturn

import pytest
import structlog

from telemetry.logging import configure_logging


class BrokenStderr:
    """A standard error stream on which every write fails."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error
        self.attempts = 0

    def isatty(self) -> bool:
        return False

    def write(self, _line: str) -> NoReturn:
        self.attempts += 1
        raise self._error

    def flush(self) -> NoReturn:
        raise self._error


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, hook = root.handlers[:], sys.excepthook
    loggers = [root, *map(logging.getLogger, ("tornado.access", "pymongo"))]
    levels = [logger.level for logger in loggers]
    yield
    sys.excepthook = hook
    logging.captureWarnings(capture=False)
    structlog.configure(**before)
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("error", [BrokenPipeError, BlockingIOError, OSError, ValueError])
def test_failed_write_of_a_log_line_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    configure_logging("info", as_json=True)
    stderr = BrokenStderr(error)
    monkeypatch.setattr(sys, "stderr", stderr)
    structlog.get_logger("qlive").info("answered", status=200)
    assert stderr.attempts


def test_warnings_and_uncaught_exceptions_are_json_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", as_json=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old\nand slow", stacklevel=1)
    try:
        raise ValueError("wrong")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    warned, crashed = map(json.loads, capsys.readouterr().err.splitlines())
    assert "old\nand slow" in warned["event"]
    assert (crashed["event"], crashed["level"]) == ("process_crashed", "critical")
    assert crashed["exception"].endswith("ValueError: wrong")


def test_values_named_like_secrets_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", as_json=True)
    structlog.get_logger("qlive").info("answered", token="abc", status=200)
    output = capsys.readouterr().err
    assert '"status": 200' in output
    assert "abc" not in output
