"""The operations page lists log events, settings, rates, and collections with what bounds them."""

import re
from pathlib import Path

from pydantic import BaseModel

from config.settings import Settings
from handlers.limits import MAX_LOGINS, RATES
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
GROWTH = "## What grows, and what bounds it"
COLLECTION = re.compile(
    r'\.(?:collection|by_id)\("(\w+)"|^    name(?:, \w+)* = "(\w+)"', re.MULTILINE
)
NOT_PRODUCT = {"bench", "chaos"}
LOG_METHOD = re.compile(r"\blog\.(?:debug|info|warning|error|critical|exception)\b")
LOG_CALL = re.compile(r'\blog\.(\w+)\(\s*"(\w+)"')
CHOSEN_METHOD = re.compile(r"(\w+) = log\.(\w+) if .* else log\.(\w+)")
ROW = re.compile(
    r"^\| `(\w+)` \| ((?:debug|info|warning|error|critical)(?:, \w+)*) \|", re.MULTILINE
)


def product_files() -> list[Path]:
    packages = [path.parent for path in ROOT.glob("[a-z]*/__init__.py")]
    product = [package for package in packages if package.name not in NOT_PRODUCT]
    return [ROOT / "server.py", *(file for package in product for file in package.rglob("*.py"))]


def log_events(text: str) -> list[tuple[str, str]]:
    """Event and level of each call that logs, directly or by a method chosen before."""
    calls = [(event, level) for level, event in LOG_CALL.findall(text)]
    for variable, *levels in CHOSEN_METHOD.findall(text):
        events = re.findall(rf'\b{variable}\(\s*"(\w+)"', text)
        calls += [(event, level) for event in events for level in levels]
    return [(event, level.replace("exception", "error")) for event, level in calls]


def test_the_operations_page_lists_each_log_event_once_with_its_levels():
    found: dict[str, set[str]] = {}
    for file in product_files():
        text = file.read_text()
        assert text.count("structlog.get_logger(") == text.count("\nlog = structlog.get_logger("), (
            f"{file}: a logger is a module variable named log"
        )
        events = log_events(text)
        assert len(LOG_METHOD.findall(text)) == len(events), f"{file}: an event is not a literal"
        for event, level in events:
            found.setdefault(event, set()).add(level)
    assert len(found) > 50
    assert [name for name in found if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", name)] == []
    documented = [(event, set(levels.split(", "))) for event, levels in ROW.findall(PAGE)]
    assert dict(documented) == found
    assert len(documented) == len(found)


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2]
    table = re.findall(r"^\| .*\|$", re.split(r"\n## ", section)[0], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def test_the_operations_page_lists_every_setting_in_the_order_of_the_file():
    declared = {
        name: [field.alias or key for key, field in info.annotation.model_fields.items()]
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        else []
        for name, info in Settings.model_fields.items()
    }
    listed = {row[0].strip("`"): re.findall(r"\w+", row[1]) for row in rows_of("Settings")}
    assert list(listed.items()) == list(declared.items())


def test_the_operations_page_lists_every_periodic_job():
    jobs = (ROOT / "runtime" / "jobs.py").read_text()
    started = re.findall(r'\bevery\([^"\n]*"(\w+)"', jobs)
    listed = re.findall(r"`(\w+)`", PAGE.partition("`job_recovered` is ")[2].partition(";")[0])
    assert "sockets" in started
    assert sorted(listed) == sorted(started)


def test_the_operations_page_lists_every_rate_limit():
    listed = {row[0].strip("`"): row[1] for row in rows_of("Rate limits")}
    rates = {name: f"{rate.per_second:g}/{rate.burst}" for name, rate in RATES.items()}
    assert listed == rates | {"login": f"{MAX_LOGINS} in progress"}


def test_the_operations_page_has_a_row_for_every_collection():
    text = "".join(path.read_text() for path in (ROOT / "storage").rglob("*.py"))
    collections = {first or second for first, second in COLLECTION.findall(text)}
    table = re.split(r"\n#{2,3} ", PAGE.partition(f"{GROWTH}\n")[2])[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == collections
