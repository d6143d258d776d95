"""Audit entries as lines of CSV."""

from collections.abc import Iterable, Mapping
from typing import Any

from handlers.ops.csv_text import BYTE_ORDER_MARK, cell, csv_lines

FIELDS = (
    *("seq", "id", "at", "who", "role", "address", "what", "on", "reason"),
    *("asked", "before", "after", "done", "hash"),
)


def head() -> str:
    """Byte order mark and names of the columns."""
    return BYTE_ORDER_MARK + csv_lines([FIELDS])


def lines(entries: Iterable[Mapping[str, Any]]) -> str:
    """A line for each entry."""
    return csv_lines([cell(entry[name]) for name in FIELDS] for entry in entries)


def continuation(after: str) -> str:
    """Last line of a file that ends before the last entry."""
    return csv_lines([("more", f"after={after}")])
