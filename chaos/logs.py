"""What the servers wrote in their logs that nobody expected."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

AWAY = re.compile(
    r"pymongo\.errors\."
    r"(AutoReconnect|NetworkTimeout|ServerSelectionTimeoutError|WaitQueueTimeoutError)"
)
BUG = re.compile(
    r"(Assertion|Attribute|Index|Key|Name|Recursion|Runtime|Type|Value|ZeroDivision)Error\b"
)

LOSSES = {("bus_lost", "RuntimeError")}
"""uvloop says so of a transport that was closed before a write; the bus takes it for a loss."""


def unforeseen(log: Path) -> Iterator[str]:
    """Tracebacks, and the names of bugs where a log has room for no more.

    A database that is away is no surprise here, in however many words it is said.
    """
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("Traceback"):
            yield line
        if line.startswith("{") and (why := _surprise_in(line)):
            yield why


def _surprise_in(line: str) -> str:
    try:
        said = json.loads(line)
    except ValueError:
        return ""  # torn by kill -9
    if trace := said.get("exception"):
        last: str = trace.strip().splitlines()[-1]
        return "" if AWAY.match(last) else f"{said.get('event')}: {last}"
    if (said.get("event"), said.get("error")) in LOSSES:
        return ""
    whys = (said.get(name) for name in ("error", "why"))
    bugs = (why for why in whys if isinstance(why, str) and BUG.match(why))
    return next((f"{said.get('event')}: {bug}" for bug in bugs), "")
