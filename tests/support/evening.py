"""A small evening in two rooms, and its dump: the fixture of an upgrade.

    python -m tests.support.evening tests/vectors/schemas

plays it on a new database and writes FOLDER/SCHEMA.json. Run it in the tree of the release.
"""

import asyncio
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import json_util
from pymongo import MongoClient
from pymongo.database import Database

from config.settings import Settings
from core.clock import now_ms
from devtools import demo
from devtools.development_secrets import fill_in_secrets
from devtools.no_limits import NO_LIMITS
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.chat import until_delivered
from tests.support.gifts import CANDY, ROSE, give
from tests.support.income import NO_MATURITY, confirm, withdraw, withdrawals_of
from tests.support.mic import take_seat
from tests.support.operators import operator_as
from tests.support.payments import create_order, notification_statuses, pay_order
from tests.support.waiting import until

SETTINGS: dict[str, Any] = {"withdraw": NO_MATURITY, "ops": {"second_person_gold": 10_000}}


async def play(api: ApiFixture, server: ServerProcess) -> dict[str, Any]:
    """Play the evening, until nothing is left to send; tokens and ids of its users.

    A live room has a man on mic, a woman who applies, a viewer with a socket and a ban; another
    live has ended. There are a paid and an open order, gifts, a grant, a reversal, a like, and a
    banned user. Of the withdrawals one is paid and one waits for an operator, as do a grant for a
    second one and a refund case. The server must have SETTINGS.
    """
    host, other_host = await api.host("host"), await api.host("other host")
    man = await api.guest("man", 1, host.live_id)
    woman = await api.guest("woman", 2, host.live_id, gold=70)
    await _fill_room(api, host, man, woman)
    order = await _pay(api, server, man)
    for number, gift_id in enumerate((ROSE, CANDY), 1):
        terms = {"live_id": host.live_id, "request_id": f"gift-{number}"}
        (await give(man, host.id, gift_id, **terms)).ok()
    (await give(woman, man.id, ROSE)).ok()
    (await woman.post("qlive_like/", user_id=man.id, like_state=1)).ok()
    (await other_host.post("qlive_room/live_end/", live_id=other_host.live_id)).ok()
    await _moderate(api, man)
    await _withdraw(api, server, host)
    case_id = await _ask_for_a_second_operator(api, server, man, order)
    await until_delivered(server)
    users = {"host": host, "man": man, "woman": woman}
    ids = {f"{name}_id": client.id for name, client in users.items()}
    tokens = {name: client.token for name, client in users.items()}
    return {**tokens, **ids, "live_id": host.live_id, "case_id": case_id}


async def _fill_room(api: ApiFixture, host: ApiClient, man: ApiClient, woman: ApiClient) -> None:
    await take_seat(man)
    (await woman.post("qlive_room/apply_micro/", live_id=woman.live_id)).ok()
    viewer = await api.guest("viewer", 2, host.live_id)
    await (await viewer.connect()).frame()
    removed = await api.guest("removed", 1, host.live_id)
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=removed.id)).ok()


async def _pay(api: ApiFixture, server: ServerProcess, client: ApiClient) -> str:
    """The number of the order that is paid."""
    paid = await pay_order(api, await create_order(client, 1))
    await notification_statuses(server)
    await create_order(client, 2)
    return str(paid["order"])


async def _moderate(api: ApiFixture, man: ApiClient) -> None:
    banned = await api.user("banned", 1)
    (await api.ops("PATCH", f"users/{banned.id}", banned=True, ban_reason="spam")).ok()
    mistake = {"gold": 5, "reason": "a mistake", "request_id": "mistake"}
    (await api.ops("POST", f"users/{man.id}/grant", **mistake)).ok()
    rows = (await api.ops("GET", f"ledger?user_id={man.id}&kind=grant")).ok()["items"]
    (await api.ops("POST", "ledger/reverse", entry=rows[0]["id"], reason="a mistake")).ok()


async def _withdraw(api: ApiFixture, server: ServerProcess, host: ApiClient) -> None:
    giver = await api.user("giver", 1, gold=200)
    (await give(giver, host.id, CANDY, 40)).ok()
    paid = (await withdraw(host, 50, "paid"))["withdrawal_id"]
    finance = await operator_as(server, "olga", "finance")
    path, reason = f"/ops/api/withdrawals/{paid}/approve", {"reason": "checked"}
    (await api.request("POST", path, json=reason, headers=finance)).ok()
    packages = await until(lambda: _packages(host))
    await confirm(api, packages[0])
    await notification_statuses(server)
    await withdraw(host, 30, "waiting")


async def _packages(host: ApiClient) -> list[str]:
    return [it["package_info"] for it in await withdrawals_of(host) if it["package_info"]]


async def _ask_for_a_second_operator(
    api: ApiFixture, server: ServerProcess, man: ApiClient, order: str
) -> str:
    """A large grant is requested, and a refund case opened, whose id is returned."""
    grant = {"gold": 20_000, "reason": "a prize", "request_id": "prize"}
    assert (await api.ops("POST", f"users/{man.id}/grant", **grant)).status == 202
    moderator = await operator_as(server, "misha", "moderator")
    refused = await api.request("POST", "/ops/api/refunds", json={}, headers=moderator)
    assert refused.status == 403
    case = {"user_id": man.id, "orders": [order], "reason": "a minor", "request_id": "minor"}
    return str((await api.ops("POST", "refunds", **case)).ok()["id"])


# ---- dump and restore


def dump(database: Database[dict[str, Any]], tokens: dict[str, Any]) -> str:
    """Documents and indexes of all collections, as JSON, without the leases of processes, which
    name the machine."""
    names = sorted(database.list_collection_names())
    indexes = {
        name: [
            {"keys": [*map(list, options.pop("key"))], "name": index}
            | {key: value for key, value in options.items() if key != "v"}
            for index, options in database[name].index_information().items()
        ]
        for name in names
    }
    collections = {name: [*database[name].find()] for name in names}
    collections["processes"] = []
    content = {"collections": collections, "indexes": indexes, "tokens": tokens}
    return json_util.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def restore(database: Database[dict[str, Any]], content: dict[str, Any]) -> None:
    """Write a dump into an empty database, with tokens issued yesterday and members seen now."""
    for name, rows in content["collections"].items():
        collection = database.create_collection(name)
        for index in content["indexes"][name]:
            if index["name"] != "_id_":
                options = {key: value for key, value in index.items() if key != "keys"}
                collection.create_index([tuple(key) for key in index["keys"]], **options)
        if rows:
            collection.insert_many(rows)
    now = datetime.now(UTC)
    times = {"made_at": now - timedelta(days=1), "expires_at": now + timedelta(days=1)}
    database.tokens.update_many({}, {"$set": times})
    database.members.update_many({}, {"$set": {"seen_at": now_ms()}})


async def main(folder: Path) -> None:
    demo.USERS = []
    with tempfile.TemporaryDirectory() as data:
        given = {
            "server": {"port": 0, "drain_seconds": 1},
            "mongodb": {"data_dir": f"{data}/mongo"},
            "limits": NO_LIMITS,
            **SETTINGS,
        }
        settings, dev = fill_in_secrets(Settings.model_validate(given), Path(data) / "secrets.json")
        server = ServerProcess(settings, dev)
        await server.start()
        api = ApiFixture(server.address)
        tokens = await play(api, server)
        host, port = await server.context.database.client.address or ("", 0)
        with MongoClient[Any](host, port, directConnection=True, tz_aware=True) as client:
            database = client[settings.mongodb.database]
            schema = (database.schema.find_one() or {"version": 0})["version"]
            (folder / f"{schema}.json").write_text(dump(database, tokens))
        await api.close()
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
