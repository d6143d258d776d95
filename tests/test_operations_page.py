"""The operations page lists log events, settings, rates, and collections with what bounds them."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from config.settings import Settings
from handlers.limits import MAX_LOGINS, RATES
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
GROWTH = "## What grows, and what bounds it"
COLLECTION = re.compile(r'\.collection\("(\w+)"\)|^    name(?:, \w+)* = "(\w+)"', re.MULTILINE)
NOT_PRODUCT = {"bench", "chaos"}
LEVELS = {
    **{name: name for name in ("debug", "info", "warning", "error", "critical")},
    "exception": "error",
}
MAY_LOG = re.compile(r"\blog\b|structlog")
ROW = re.compile(
    r"^\| `(\w+)` \| ((?:debug|info|warning|error|critical)(?:, \w+)*) \|", re.MULTILINE
)


@functools.cache
def modules() -> dict[Path, ast.Module]:
    """The modules of the product that may log, parsed; parsing all takes seconds."""
    packages = sorted(path.parent for path in ROOT.glob("[a-z]*/__init__.py"))
    files = [ROOT / "server.py"]
    for package in packages:
        if package.name not in NOT_PRODUCT:
            files += sorted(package.rglob("*.py"))
    texts = {file.relative_to(ROOT): file.read_text() for file in files}
    return {file: ast.parse(text) for file, text in texts.items() if MAY_LOG.search(text)}


def log_methods(node: ast.AST) -> set[ast.Attribute]:
    """Every `log.info` and the like in a part of a module."""
    return {
        part
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and part.attr in LEVELS
        and isinstance(part.value, ast.Name)
        and part.value.id == "log"
    }


def log_calls(tree: ast.Module) -> Iterator[tuple[ast.Call, set[ast.Attribute]]]:
    """Every call that logs, with the methods that it may call.

    Directly, or through a variable: `say = log.info if expected else log.warning`.
    """
    variables = {
        target.id: log_methods(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    direct = log_methods(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            through_variable = isinstance(node.func, ast.Name)
            methods = (
                variables.get(node.func.id, set()) if through_variable else direct & {node.func}
            )
            if methods:
                yield node, methods


@functools.cache
def logged_events() -> dict[str, set[str]]:
    """Event name -> levels, of everything that the product may log."""
    found: dict[str, set[str]] = {}
    for file, tree in modules().items():
        understood: set[ast.Attribute] = set()
        for call, methods in log_calls(tree):
            event = call.args[0] if call.args else None
            where = f"{file}:{call.lineno}"
            assert isinstance(event, ast.Constant), f"{where}: the event is not a literal"
            found.setdefault(event.value, set()).update(LEVELS[method.attr] for method in methods)
            understood |= methods
        unknown = log_methods(tree) - understood
        assert not unknown, f"{file}: {[use.lineno for use in unknown]} use a logger unusually"
    return found


def documented_events() -> list[tuple[str, set[str]]]:
    return [(event, set(levels.split(", "))) for event, levels in ROW.findall(PAGE)]


def test_every_logger_is_a_module_variable_named_log() -> None:
    for file, tree in modules().items():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        loggers = {call for call in calls if ast.unparse(call.func) == "structlog.get_logger"}
        assigned = {
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "log"
        }
        assert loggers <= assigned, file


def test_the_operations_page_lists_each_log_event_once_with_its_levels() -> None:
    events, documented = logged_events(), documented_events()
    assert len(events) > 50
    for event in events:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", event)
    assert dict(documented) == events
    assert len(documented) == len(events)


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2]
    table = re.findall(r"^\| .*\|$", re.split(r"\n## ", section)[0], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def test_the_operations_page_lists_every_setting_in_the_order_of_the_file() -> None:
    declared = {
        name: [field.alias or key for key, field in info.annotation.model_fields.items()]
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        else []
        for name, info in Settings.model_fields.items()
    }
    listed = {row[0].strip("`"): re.findall(r"\w+", row[1]) for row in rows_of("Settings")}
    assert list(listed.items()) == list(declared.items())


def test_the_operations_page_lists_every_rate_limit() -> None:
    listed = {row[0].strip("`"): row[1] for row in rows_of("Rate limits")}
    rates = {name: f"{rate.per_second:g}/{rate.burst}" for name, rate in RATES.items()}
    assert listed == rates | {"login": f"{MAX_LOGINS} in progress"}


def test_the_operations_page_has_a_row_for_every_collection() -> None:
    text = "".join(path.read_text() for path in (ROOT / "storage").rglob("*.py"))
    collections = {first or second for first, second in COLLECTION.findall(text)}
    table = re.split(r"\n#{2,3} ", PAGE.partition(f"{GROWTH}\n")[2])[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == collections
