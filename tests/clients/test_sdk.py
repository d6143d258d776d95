"""Runs the SDK's node tests, alone and against a server."""

import re
import runpy
from pathlib import Path

import pytest

from tests.support.api import ApiFixture
from tests.support.node import OLDEST_NODE, run
from tests.support.paths import ROOT

pytestmark = pytest.mark.programs

FOLDER = Path(__file__).parent
SERVER_TESTS = FOLDER / "server.test.mjs"
UNIT_TESTS = sorted(set(FOLDER.glob("*.test.mjs")) - {SERVER_TESTS})
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "sdk"))


async def run_tests(*files: Path, **environment: str) -> None:
    """Runs node tests, of which none may fail or be skipped."""
    output = await run("--test", "--test-reporter=tap", *files, **environment)
    summary = dict(re.findall(r"^# (\w+) (\d+)$", output, re.MULTILINE))
    assert (summary["skipped"], summary["todo"]) == ("0", "0"), output
    assert int(summary["pass"]) > len(files), output


async def test_node_is_new_enough() -> None:
    version = await run("--version")
    assert int(version[1:].split(".")[0]) >= OLDEST_NODE, f"node {OLDEST_NODE} is needed: {version}"


async def test_sdk_unit_tests_pass() -> None:
    await run_tests(*UNIT_TESTS)


async def test_sdk_works_against_the_server(api: ApiFixture) -> None:
    token = await api.operator_token()
    await run_tests(SERVER_TESTS, QLIVE_ADDRESS=api.address, QLIVE_OPS_TOKEN=token)


def test_calls_and_types_of_the_sdk_are_those_of_the_server() -> None:
    for path, text in SCRIPT["texts"]().items():
        assert path.read_text() == text, "run `make sdk`"
