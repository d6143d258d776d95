"""Pages that have to name every collection."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = re.compile(r'\.collection\("(\w+)"\)|^    name(?:, \w+)? = "(\w+)"', re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "section"),
    [
        ("operations.md", "## What grows, and what bounds it"),
        ("deploy.md", "### Sharding"),
    ],
)
def test_documentation_has_a_row_for_every_collection(page: str, section: str) -> None:
    text = "".join(path.read_text() for path in (ROOT / "storage").glob("*.py"))
    collections = {first or second for first, second in NAME.findall(text)}
    found = (ROOT / "docs" / page).read_text().partition(f"{section}\n")[2]
    table = re.split(r"\n#{2,3} |\n\| transaction \|", found)[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"\w+", row)}
    assert documented == collections
