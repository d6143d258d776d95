"""The mini-program's SDK, tested by node: alone, and against the real server."""

import json
import re
from pathlib import Path

import pytest

from handlers.base import Handler
from handlers.routes import CONTRACT
from server import Server
from tests.clients.node import OLDEST_NODE, run

pytestmark = pytest.mark.programs

HERE = Path(__file__).parent
SDK = HERE.parent.parent / "clients" / "miniprogram"
AGAINST_A_SERVER = "server.test.mjs"
ALONE = sorted(path.name for path in HERE.glob("*.test.mjs") if path.name != AGAINST_A_SERVER)
NOT_FOR_PHONES = {
    *("qlive_pay/notify/", "qlive_pay/xpay_notify/", "im/callback/", "live/callback/"),
    "ws/",
}


def passed(said: str) -> int:
    """How many tests node has run, with none left out."""
    assert "\n# skipped 0\n" in said, said
    assert "\n# todo 0\n" in said, said
    found = re.search(r"^# pass (\d+)$", said, re.MULTILINE)
    assert found, said
    return int(found[1])


@pytest.mark.gen_test(timeout=30)
async def test_node_is_new_enough() -> None:
    version = await run("--version")
    assert int(version[1:].split(".")[0]) >= OLDEST_NODE, f"node {OLDEST_NODE} is needed: {version}"


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("name", ALONE)
async def test_the_sdk_keeps_its_word(name: str) -> None:
    assert passed(await run("--test-reporter=tap", HERE / name)) > 1


@pytest.mark.gen_test(timeout=90)
async def test_the_sdk_and_the_server_understand_each_other(server: Server) -> None:
    where = {"QLIVE_ADDRESS": server.address, "QLIVE_OPS_TOKEN": server.settings.ops.token}
    path = HERE / AGAINST_A_SERVER
    assert passed(await run("--test-reporter=tap", path, **where)) > 1


@pytest.mark.gen_test(timeout=30)
async def test_the_sdk_has_every_call_that_phones_make() -> None:
    script = f"import({json.dumps((SDK / 'src' / 'calls.js').as_uri())})"
    said = await run("-e", script + ".then((m) => console.log(JSON.stringify(m.CALLS)))")
    calls = sorted((path, method) for method, path in json.loads(said).values())
    assert calls == sorted(
        (path, method.upper())
        for path, handler in CONTRACT
        if path not in NOT_FOR_PHONES
        for method in ("get", "post")
        if getattr(handler, method) is not getattr(Handler, method)
    )
