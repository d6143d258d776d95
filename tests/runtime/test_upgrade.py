"""A database written by the previous version: tests/vectors/database_before_layers.json.

It holds a live room with a guest on mic and an application, a paid and an open order, three gifts,
a like and a grant, dumped with its indexes while the server ran.
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
from devtools.development_secrets import DevSecrets
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.evening import restore

DUMP: dict[str, Any] = json_util.loads(
    Path("tests/vectors/database_before_layers.json").read_text()
)
NEW_INDEXES = {
    "audit": ["terms_1__id_-1"],
    "errands": ["key_1_kind_1"],
    "inbox": ["event_1_received_at_-1__id_-1"],
    "orders": ["open_keys_1", "provider_1_created_at_1_due_at_1"],
    "rooms": ["group_id_1"],
    "users": ["owed_income_1"],
}
"""Indexes by collection that the version of the dump did not have."""
USERS = DUMP["tokens"]
DATABASE = "qlive_test_upgrade"
NEW_COLLECTIONS = {
    "schema": ["_id_"],
    "approvals": [
        *("_id_", "delete_at_1", "key_1", "made_at_-1__id_-1", "state_1_made_at_-1__id_-1"),
    ],
    "refund_cases": [
        *("_id_", "due_at_1", "open_orders_1", "opened_at_-1__id_-1", "orders.number_1"),
        *("request_id_1", "state_1_opened_at_-1__id_-1", "user_id_1_opened_at_-1__id_-1"),
    ],
    "withdrawal_days": ["_id_"],
    "process_reports": ["_id_", "at_1", "process_1_at_-1"],
    "withdrawals": [
        *("_id_", "due_at_1", "finished_at_1", "requested_at_-1__id_-1"),
        *("state_1_requested_at_-1__id_-1", "user_id_1_request_id_1"),
        "user_id_1_requested_at_-1__id_-1",
    ],
    "operator_sessions": ["_id_", "expires_at_1", "name_1"],
}
"""Collections that the previous version does not have, with their indexes."""


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"mongodb": {"database": DATABASE}}


@pytest.fixture
def restored(mongo: MongoClient[Any]) -> Iterator[Database[dict[str, Any]]]:
    mongo.drop_database(DATABASE)
    restore(mongo[DATABASE], DUMP)
    yield mongo[DATABASE]
    mongo.drop_database(DATABASE)


@pytest.fixture
def server(
    io_loop: IOLoop, settings: tuple[Settings, DevSecrets], restored: Database[dict[str, Any]]
) -> Iterator[ServerProcess]:
    server = ServerProcess(*settings)
    io_loop.run_sync(server.start)
    yield server
    io_loop.run_sync(server.stop)


def client(api: ApiFixture, name: str) -> ApiClient:
    return ApiClient(api, name, {"token": USERS[name], "user_id": USERS[f"{name}_id"]})


@pytest.mark.gen_test
async def test_rooms_tokens_and_gold_of_the_previous_version_are_usable(api: ApiFixture) -> None:
    host, man = client(api, "host"), client(api, "man")
    live_id = USERS["live_id"]
    assert (await host.get("qlive_user/get_user_state/")).ok()["live_id"] == live_id
    room = (await man.get("get_playurl/", live_id=live_id)).ok()
    assert room["male"]["user_id"] == man.id
    gift = {"user_id": host.id, "gift_id": 1, "live_id": live_id}
    repeated = await man.get("qlive_gift/push_gift/", **gift, num=3, request_id="old-2")
    assert repeated.ok()["gold"] == 54
    new = await man.get("qlive_gift/push_gift/", **gift, num=1, request_id="new")
    assert new.ok()["gold"] == 53


@pytest.mark.gen_test
async def test_client_resumes_from_a_position_of_the_previous_version(api: ApiFixture) -> None:
    man = client(api, "man")
    (row,) = DUMP["collections"]["rooms"]
    seen = len(row["log"]) - 2
    socket = await man.connect(USERS["live_id"], epoch=row["epoch"], since=seen)
    assert (await socket.next())["type"] == "resumed"
    assert [(await socket.next("gift"))["seq"] for _ in range(2)] == [seen + 1, seen + 2]


@pytest.mark.gen_test
async def test_ledger_and_indexes_of_the_previous_version_are_complete(
    server: ServerProcess, restored: Database[dict[str, Any]]
) -> None:
    assert await server.context.stores.ledger_reconciler.problems() == []
    indexes = {
        name: restored[name].index_information() for name in restored.list_collection_names()
    }
    before = {
        name: sorted([index["name"] for index in found] + NEW_INDEXES.get(name, []))
        for name, found in DUMP["indexes"].items()
    }
    assert {name: sorted(found) for name, found in indexes.items()} == before | NEW_COLLECTIONS


@pytest.mark.gen_test
@pytest.mark.usefixtures("server")
async def test_default_rows_of_the_previous_version_are_neither_doubled_nor_changed(
    restored: Database[dict[str, Any]],
) -> None:
    for name in ("configs", "blocks", "gifts"):
        rows = {row["_id"]: row for row in restored[name].find({}, {"image": 0})}
        before = {  # without the image, which follows the address of the server
            row["_id"]: {field: value for field, value in row.items() if field != "image"}
            for row in DUMP["collections"][name]
        }
        assert rows == before
