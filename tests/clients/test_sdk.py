"""Runs the SDK's node tests, alone and against a server."""

import json
import re
from pathlib import Path

import pytest

from handlers.base import Handler
from handlers.routes import API_ROUTES
from tests.support.api import ApiFixture
from tests.support.node import OLDEST_NODE, run

pytestmark = pytest.mark.programs

FOLDER = Path(__file__).parent
SDK = FOLDER.parent.parent / "clients" / "miniprogram"
SERVER_TESTS = "server.test.mjs"
UNIT_TESTS = sorted(path.name for path in FOLDER.glob("*.test.mjs") if path.name != SERVER_TESTS)
NOT_CLIENT_ENDPOINTS = {
    *("qlive_pay/notify/", "qlive_pay/xpay_notify/", "im/callback/", "live/callback/"),
    *("qlive_pay/transfer_notify/", "ws/"),
}


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


@pytest.mark.gen_test(timeout=30)
async def test_sdk_has_a_call_for_every_client_endpoint() -> None:
    script = f"import({json.dumps((SDK / 'src' / 'calls.js').as_uri())})"
    output = await run("-e", script + ".then((m) => console.log(JSON.stringify(m.CALLS)))")
    calls = sorted((path, method) for method, path in json.loads(output).values())
    assert calls == sorted(
        (path, method.upper())
        for path, handler, *_ in API_ROUTES
        if path not in NOT_CLIENT_ENDPOINTS
        for method in ("get", "post")
        if getattr(handler, method) is not getattr(Handler, method)
    )
