"""Audit entries as lines of CSV that spreadsheet programs open safely."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

FIELDS = (
    *("seq", "id", "at", "who", "role", "address", "what", "on", "reason"),
    *("asked", "before", "after", "done", "hash"),
)
BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel reads UTF-8 as the code page of the system."""
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""Beginning of a cell that a spreadsheet program may execute, in full width, too."""


def head() -> str:
    """Byte order mark and names of the columns."""
    return BYTE_ORDER_MARK + _lines([FIELDS])


def lines(entries: Iterable[Mapping[str, Any]]) -> str:
    """A line for each entry."""
    return _lines([_cell(entry[name]) for name in FIELDS] for entry in entries)


def continuation(after: str) -> str:
    """Last line of a file that ends before the last entry."""
    return _lines([("more", f"after={after}")])


def _cell(value: Any) -> str:
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case str():
            return f"'{value}" if FORMULA.match(value) else value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _lines(rows: Iterable[Iterable[str]]) -> str:
    """All cells are quoted: some programs separate columns by `;` as well."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()
