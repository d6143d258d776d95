import logging
import sys
from collections.abc import Iterator
from typing import NoReturn

import pytest
import structlog

import logs


class Full:
    """A standard error behind which there is no room, or nobody."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def isatty(self) -> bool:
        return False

    def write(self, _line: str) -> NoReturn:
        raise self._error

    def flush(self) -> NoReturn:
        raise self._error


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("error", [BrokenPipeError, BlockingIOError, OSError, ValueError])
def test_a_line_that_cannot_be_written_fails_nobody(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    logs.set_up("info", as_json=True)
    monkeypatch.setattr(sys, "stderr", Full(error))
    structlog.get_logger("qlive").info("answered", status=200)


def test_what_is_named_like_a_secret_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", as_json=True)
    structlog.get_logger("qlive").info("answered", token="abc", status=200)
    said = capsys.readouterr().err
    assert '"status": 200' in said
    assert "abc" not in said
