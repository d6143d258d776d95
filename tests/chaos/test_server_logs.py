import json
from pathlib import Path
from typing import Any

import pytest

from chaos.server_logs import unexpected_errors


def with_traceback(exception: str) -> str:
    return entry(exception=f"Traceback (most recent call last):\n  File …\n{exception}")


def entry(**more: Any) -> str:
    return json.dumps({"event": "failed", "level": "warning", **more})


def found(tmp_path: Path, *lines: str) -> list[str]:
    log = tmp_path / "server.log"
    log.write_text("\n".join(lines))
    return list(unexpected_errors(log))


@pytest.mark.parametrize(
    "line",
    [
        "QLive serves on http://127.0.0.1:1",
        entry(error="AutoReconnect"),
        entry(error="AutoReconnect: a KeyError: it is not"),
        entry(error=None),
        entry(event="bus_disconnected", error="RuntimeError"),
        entry(why="TryAgain: KeyError"),
        with_traceback("pymongo.errors.AutoReconnect: connection closed"),
        with_traceback("KeyError: 'seq'")[:-5],
        '{"event": "failed", "le{"event": "listening"}',
    ],
)
def test_expected_errors_are_ignored(tmp_path: Path, line: str) -> None:
    assert found(tmp_path, line) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (with_traceback("KeyError: 'seq'"), "failed: KeyError: 'seq'"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        (entry(error="KeyError: 'seq'"), "failed: KeyError: 'seq'"),
        (entry(error="TypeError"), "failed: TypeError"),
        (entry(error="RuntimeError"), "failed: RuntimeError"),
        (entry(why="AssertionError"), "failed: AssertionError"),
        (entry(error="TimeoutError", why="ZeroDivisionError"), "failed: ZeroDivisionError"),
    ],
)
def test_a_bug_is_found_with_and_without_its_traceback(
    tmp_path: Path, line: str, words: str
) -> None:
    assert found(tmp_path, entry(), line, entry()) == [words]
