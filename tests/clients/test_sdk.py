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
SERVER_TESTS = "server.test.mjs"
UNIT_TESTS = sorted(path.name for path in FOLDER.glob("*.test.mjs") if path.name != SERVER_TESTS)
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "sdk"))


def count_passed(output: str) -> int:
    """The number of passed tests; fails if node skipped any."""
    assert "\n# skipped 0\n" in output, output
    assert "\n# todo 0\n" in output, output
    found = re.search(r"^# pass (\d+)$", output, re.MULTILINE)
    assert found, output
    return int(found[1])


@pytest.mark.gen_test(timeout=30)
async def test_node_is_new_enough() -> None:
    version = await run("--version")
    assert int(version[1:].split(".")[0]) >= OLDEST_NODE, f"node {OLDEST_NODE} is needed: {version}"


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", UNIT_TESTS)
async def test_sdk_unit_tests_pass(name: str) -> None:
    assert count_passed(await run("--test-reporter=tap", FOLDER / name)) > 1


@pytest.mark.gen_test(timeout=90)
async def test_sdk_works_against_the_server(api: ApiFixture) -> None:
    environment = {"QLIVE_ADDRESS": api.address, "QLIVE_OPS_TOKEN": await api.operator_token()}
    path = FOLDER / SERVER_TESTS
    assert count_passed(await run("--test-reporter=tap", path, **environment)) > 1


def test_calls_and_types_of_the_sdk_are_those_of_the_server() -> None:
    for path, text in SCRIPT["texts"]().items():
        assert path.read_text() == text, "run `make sdk`"
