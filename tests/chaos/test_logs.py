import json
from pathlib import Path
from typing import Any

import pytest

from chaos.logs import unforeseen


def trace(exception: str) -> str:
    return said(exception=f"Traceback (most recent call last):\n  File …\n{exception}")


def said(**more: Any) -> str:
    return json.dumps({"event": "failed", "level": "warning", **more})


def found(tmp_path: Path, *lines: str) -> list[str]:
    log = tmp_path / "server.log"
    log.write_text("\n".join(lines))
    return list(unforeseen(log))


@pytest.mark.parametrize(
    "line",
    [
        "QLive serves on http://127.0.0.1:1",
        said(error="AutoReconnect"),
        said(error="AutoReconnect: a KeyError: it is not"),
        said(error=None),
        said(event="bus_lost", error="RuntimeError"),
        said(why="TryAgain: KeyError"),
        trace("pymongo.errors.AutoReconnect: connection closed"),
        trace("KeyError: 'seq'")[:-5],
        '{"event": "failed", "le{"event": "listening"}',
    ],
)
def test_what_had_to_be_expected_is_no_surprise(tmp_path: Path, line: str) -> None:
    assert found(tmp_path, line) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (trace("KeyError: 'seq'"), "failed: KeyError: 'seq'"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        (said(error="KeyError: 'seq'"), "failed: KeyError: 'seq'"),
        (said(error="TypeError"), "failed: TypeError"),
        (said(error="RuntimeError"), "failed: RuntimeError"),
        (said(why="AssertionError"), "failed: AssertionError"),
        (said(error="TimeoutError", why="ZeroDivisionError"), "failed: ZeroDivisionError"),
    ],
)
def test_a_bug_is_found_also_without_its_trace(tmp_path: Path, line: str, words: str) -> None:
    assert found(tmp_path, said(), line, said()) == [words]
