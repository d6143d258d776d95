"""Databases of every released schema, in tests/vectors/schemas, are upgraded and checked.

`python -m tests.support.evening tests/vectors/schemas` writes the one of the present schema.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient
from pymongo.database import Database
from tornado.ioloop import IOLoop

from config.settings import Settings
from core.errors import StartupError
from devtools.development_secrets import DevSecrets
from runtime import commands
from runtime.process import ServerProcess
from server import parse
from storage.migrations.steps import SCHEMA
from tests.support import openapi_checks
from tests.support.api import ApiClient, ApiFixture
from tests.support.evening import SETTINGS as EVENING
from tests.support.evening import dump, play, restore

NAME = "qlive_test_schemas"
Rows = Database[dict[str, Any]]
DUMPS = sorted(Path("tests/vectors").glob("schemas/*.json"))
BEFORE_SCHEMAS = Path("tests/vectors/database_before_layers.json")

READS: dict[str, str] = {
    "qlive_user/get_userinfo/": "",
    "qlive_user/get_user_state/": "",
    "qlive_user/get_users_info/": "live_id={live_id}&gender=2&page=1",
    "get_livelist/": "",
    "get_playurl/": "live_id={live_id}",
    "get_configs/": "key=PROGRAM_SHARE",
    "qlive_room/rank/": "live_id={live_id}",
    "qlive_room/day_rank/": "",
    "qlive_gift/": "",
    "qlive_pay/": "",
    "qlive_pay/withdrawals/": "page=1",
    "qlive_like/": "user_id={host_id}",
}
"""The calls of a user that change nothing, with their parameters."""
OTHER_GETS = {
    "qlive_gift/push_gift/",
    "qlive_pay/xpay_notify/",
    "qlive_room/leave_micro/",
    "qlive_room/leave_room/",
    "qlive_user/logout/",
    "ws/",
}
"""Calls that change something, and the socket."""
OPS_READS = (
    "overview",
    "fleet",
    "charts",
    "users",
    "users/{man_id}",
    "users/{man_id}/sessions",
    "rooms",
    "rooms/{live_id}",
    "rooms/{live_id}/people",
    "gifts",
    "blocks",
    "configs",
    "orders",
    "orders?user_id={man_id}",
    "ledger",
    "ledger?user_id={man_id}",
    "inbox",
    "audit",
    "approvals",
    "refunds",
    "withdrawals",
    "withdrawals/days",
    "session",
    "login/options",
)
CASE_READS = ("refunds/{case_id}",)
"""Reads of a refund case, which dumps of schema 0 do not have."""
OPS_FILES = ("audit.csv", "withdrawals/report.csv?quarter=2026Q4")


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"mongodb": {"database": NAME}, **EVENING}


@pytest.fixture
def empty(mongo: MongoClient[Any]) -> Iterator[Rows]:
    mongo.drop_database(NAME)
    yield mongo[NAME]
    mongo.drop_database(NAME)


@pytest.fixture(params=[*DUMPS, BEFORE_SCHEMAS], ids=lambda path: path.stem)
def content(request: pytest.FixtureRequest, empty: Rows) -> dict[str, Any]:
    """A dump, which is restored."""
    content: dict[str, Any] = json_util.loads(request.param.read_text())
    restore(empty, content)
    return content


@pytest.fixture
def upgraded(
    io_loop: IOLoop, settings: tuple[Settings, DevSecrets], content: dict[str, Any]
) -> Iterator[ServerProcess]:
    server = ServerProcess(*settings)
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


def test_every_schema_has_a_dump() -> None:
    assert [path.stem for path in DUMPS] == [str(schema) for schema in range(SCHEMA + 1)]


def test_every_call_that_reads_is_checked() -> None:
    base = "/wx/api/qlive/"
    gets = {
        path
        for path, operations in openapi_checks.document()["paths"].items()
        if "get" in operations
    }
    assert {path for path in gets if path.startswith(base)} == {
        base + path for path in READS.keys() | OTHER_GETS
    }
    names = {"live_id": "{live_id}", "man_id": "{user_id}", "case_id": "{case_id}"}
    reads = (*OPS_READS, *OPS_FILES, *CASE_READS)
    ops = {f"/ops/api/{path}".partition("?")[0].format(**names) for path in reads}
    assert {path for path in gets if path.startswith("/ops/api/")} == ops


@pytest.mark.gen_test
async def test_a_database_of_each_schema_is_upgraded_complete_and_readable(
    upgraded: ServerProcess, content: dict[str, Any], empty: Rows
) -> None:
    assert (empty.schema.find_one() or {})["version"] == SCHEMA
    assert await upgraded.context.services.ledger_audit.check() == []
    ids = content["tokens"]
    api = ApiFixture(upgraded.address)
    man = ApiClient(api, "man", {"token": ids["man"], "user_id": ids["man_id"]})
    for path, query in READS.items():
        (await man.get(f"{path}?{query.format(**ids)}")).ok()
    for path in (*OPS_READS, *(CASE_READS if "case_id" in ids else ())):
        (await api.ops("GET", path.format(**ids))).ok()
    for path in OPS_FILES:
        assert (await api.ops("GET", path)).status == 200
    await api.close()
    balances = {row["_id"]: (row["gold"], row["income"]) for row in empty.users.find()}
    for row in content["collections"]["users"]:
        assert balances[row["_id"]] == (row["gold"], row["income"])


@pytest.mark.gen_test
async def test_a_played_evening_is_dumped_as_it_is_stored(
    server: ServerProcess, api: ApiFixture, db: Rows, mongo: MongoClient[Any]
) -> None:
    tokens = await play(api, server)
    content = json_util.loads(dump(db, tokens))
    copy = mongo["qlive_test_evening"]
    mongo.drop_database(copy)
    restore(copy, content)
    copied = json_util.loads(dump(copy, tokens))
    for name in ("tokens", "members"):  # restored with other times
        assert len(copied["collections"].pop(name)) == len(content["collections"].pop(name))
    assert copied == content
    mongo.drop_database(copy)


# ---- commands


@pytest.mark.gen_test
async def test_migrate_prints_what_it_applied(
    settings: tuple[Settings, Any], empty: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(empty, json_util.loads(BEFORE_SCHEMAS.read_text()))
    empty.members.update_one({}, {"$unset": {"stream": ""}})
    ready = f"The database is ready for servers of schema {SCHEMA}.\n"
    args = parse(["migrate"])
    assert await args.run(*settings, args) == 0
    applied = "Applied migration 1 (presence_fields): 1 documents changed.\n"
    assert applied in (printed := capsys.readouterr().out)
    assert printed.endswith(ready)
    assert "terms_1__id_-1" in empty.audit.index_information()
    assert await commands.migrate(*settings, args) == 0
    assert capsys.readouterr().out.endswith(ready)


@pytest.mark.gen_test
async def test_no_command_runs_on_a_schema_that_excludes_it(
    settings: tuple[Settings, Any], empty: Rows
) -> None:
    newer = {"_id": "schema", "version": SCHEMA + 2, "oldest": SCHEMA + 1}
    empty.schema.insert_one(newer)
    with pytest.raises(StartupError, match="start a newer release"):
        await commands.check_ledger(*settings, parse(["check-ledger"]))
    assert empty.list_collection_names() == ["schema"]
    assert empty.schema.find_one() == newer
