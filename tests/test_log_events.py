import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
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
            found.setdefault(event.value, set()).update(LEVELS[it.attr] for it in methods)
            understood |= methods
        unknown = log_methods(tree) - understood
        assert not unknown, f"{file}: {[it.lineno for it in unknown]} use a logger unusually"
    return found


def documented_events() -> list[tuple[str, set[str]]]:
    page = (ROOT / "docs" / "operations.md").read_text()
    return [(event, set(levels.split(", "))) for event, levels in ROW.findall(page)]


def test_every_logger_is_a_module_variable_named_log() -> None:
    for file, tree in modules().items():
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "structlog.get_logger"
        ]
        assigned = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and [ast.unparse(it) for it in node.targets] == ["log"]
        ]
        assert set(calls) <= set(assigned), file


def test_every_log_event_is_snake_case() -> None:
    events = logged_events()
    assert len(events) > 50
    assert [
        event for event in events if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", event)
    ] == []


def test_the_operations_page_lists_each_log_event_once_with_its_levels() -> None:
    documented = documented_events()
    assert dict(documented) == logged_events()
    assert len(documented) == len(dict(documented))
