"""CSV files that spreadsheet programs open safely."""

import csv
import io
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from handlers.schemas.responses import Response

BYTE_ORDER_MARK = "\ufeff"
"""Without it, Excel reads UTF-8 as the code page of the system."""
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""Beginning of a cell that a spreadsheet program may execute, in full width, too."""


class CsvFileResponse(Response):
    """Marks a body that has been sent already."""


def cell(value: Any) -> str:
    """Text that no program takes for a formula."""
    match value:
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case str():
            return f"'{value}" if FORMULA.match(value) else value
        case _:
            return json.dumps(value, ensure_ascii=False)


def csv_lines(rows: Iterable[Iterable[str]]) -> str:
    """All cells are quoted: some programs separate columns by `;` as well."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()
