import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = re.compile(r'\.collection\("(\w+)"\)|^    name(?:, \w+)? = "(\w+)"', re.MULTILINE)


def test_documentation_says_what_bounds_every_collection() -> None:
    text = "".join(path.read_text() for path in (ROOT / "storage").glob("*.py"))
    collections = {first or second for first, second in NAME.findall(text)}
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("## What grows, and what bounds it")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"\w+", row)}
    assert documented == collections
