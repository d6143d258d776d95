import ast
import os
import re
import runpy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SCRIPT = runpy.run_path("scripts/architecture")
PRODUCT = SCRIPT["packages"]()
LAYERS = SCRIPT["LAYERS"]
LOADED_IN_PRODUCTION = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*(name for name in sys.modules if name.partition(".")[0] == "devtools"))
"""


def python_files() -> list[Path]:
    folders = [path for path in Path().glob("[a-z]*/") if path.name not in ("tests", "var")]
    return [*Path().glob("*.py"), *(file for path in folders for file in path.rglob("*.py"))]


def functions(file: Path) -> set[str]:
    """Names of the functions of a module, and of the methods as `Class.method`."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        for child in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(child.name if child is node else f"{node.name}.{child.name}")
    return found


@pytest.mark.parametrize("name", ["imports", "nouns"])
def test_the_diagrams_of_the_architecture_page_are_up_to_date(name):
    page = Path("docs/architecture.md").read_text()
    [drawn] = re.findall(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL)
    assert drawn == SCRIPT["DIAGRAMS"][name](), "run `scripts/architecture --write`"
    assert "-->" in drawn


def test_every_package_of_the_product_has_a_layer():
    assert sorted(package for layer in LAYERS for package in layer) == sorted(PRODUCT)


def test_every_step_of_a_path_names_a_function_of_the_file_beside_it():
    page = Path("docs/architecture.md").read_text()
    lines = re.findall(r"^ .*\.py$", page, re.MULTILINE)
    steps = [(line.split()[0], line.split()[-1]) for line in lines]
    assert ("AcceptMicroHandler.post", "handlers/rooms/mic.py") in steps
    assert [step for step in steps if step[0] not in functions(Path(step[1]))] == []


@pytest.mark.parametrize(("path", "steps"), [("a request", 11), ("a gift", 10), ("a reconnect", 8)])
def test_a_path_that_clients_wait_for_has_few_steps(path, steps):
    page = Path("docs/architecture.md").read_text()
    section = page.partition(f"\n## The path of {path}\n")[2].partition("\n## ")[0]
    assert 0 < len(re.findall(r"^ .*\.py$", section, re.MULTILINE)) <= steps


def test_no_class_name_is_defined_twice():
    files = defaultdict(list)
    for file in python_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                files[node.name].append(str(file))
    assert {"RoomChanges", "ServerProcess"} <= files.keys()
    assert {name: found for name, found in files.items() if len(found) > 1} == {}


def test_production_loads_no_module_of_devtools():
    modules = ["server", "runtime.process", "runtime.container"]
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED_IN_PRODUCTION, *modules],
        env={**os.environ, "QLIVE_ENVIRONMENT": "production"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == ""
