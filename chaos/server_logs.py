"""Finds unexpected errors in the servers' logs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

DATABASE_DOWN = re.compile(
    r"pymongo\.errors\."
    r"(AutoReconnect|NetworkTimeout|ServerSelectionTimeoutError|WaitQueueTimeoutError)"
)
BUG = re.compile(
    r"(Assertion|Attribute|Index|Key|Name|Recursion|Runtime|Type|Value|ZeroDivision)Error\b"
)

EXPECTED = {("bus_disconnected", "RuntimeError")}
"""uvloop raises RuntimeError for a write to a closed transport; the bus counts it as a loss."""


def unexpected_errors(log: Path) -> Iterator[str]:
    """Tracebacks, and names of exception types that indicate a bug where the log has no traceback.

    Errors of a database that is down are expected.
    """
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("Traceback"):
            yield line
        if line.startswith("{") and (error := _unexpected_error(line)):
            yield error


def _unexpected_error(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""  # truncated by kill -9
    if trace := entry.get("exception"):
        last: str = trace.strip().splitlines()[-1]
        return "" if DATABASE_DOWN.match(last) else f"{entry.get('event')}: {last}"
    if (entry.get("event"), entry.get("error")) in EXPECTED:
        return ""
    errors = (entry.get(name) for name in ("error", "why"))
    bugs = (error for error in errors if isinstance(error, str) and BUG.match(error))
    return next((f"{entry.get('event')}: {bug}" for bug in bugs), "")
