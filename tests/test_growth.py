"""The page that has to name every collection."""

import re
from pathlib import Path

SECTION = "## What grows, and what bounds it"
ROOT = Path(__file__).parents[1]
NAME = re.compile(r'\.collection\("(\w+)"\)|^    name(?:, \w+)? = "(\w+)"', re.MULTILINE)


def test_documentation_has_a_row_for_every_collection() -> None:
    text = "".join(path.read_text() for path in (ROOT / "storage").rglob("*.py"))
    collections = {first or second for first, second in NAME.findall(text)}
    found = (ROOT / "docs" / "operations.md").read_text().partition(f"{SECTION}\n")[2]
    table = re.split(r"\n#{2,3} ", found)[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"\w+", row)}
    assert documented == collections
