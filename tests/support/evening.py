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
from tests.support.mic import take_seat
from tests.support.payments import create_order, notification_statuses, pay_order


async def play(api: ApiFixture, server: ServerProcess) -> dict[str, Any]:
    """Play the evening, until nothing is left to send; tokens and ids of its users.

    A live room has a man on mic, a woman who applies, a viewer with a socket and a ban; another
    live has ended. There are a paid and an open order, gifts, a grant, a reversal, a like, and a
    banned user.
    """
    host, other_host = await api.host("host"), await api.host("other host")
    man = await api.guest("man", 1, host.live_id)
    woman = await api.guest("woman", 2, host.live_id, gold=70)
    await _fill_room(api, host, man, woman)
    await _pay(api, server, man)
    for number, gift_id in enumerate((ROSE, CANDY), 1):
        terms = {"live_id": host.live_id, "request_id": f"gift-{number}"}
        (await give(man, host.id, gift_id, **terms)).ok()
    (await give(woman, man.id, ROSE)).ok()
    (await woman.post("qlive_like/", user_id=man.id, like_state=1)).ok()
    (await other_host.post("qlive_room/live_end/", live_id=other_host.live_id)).ok()
    await _moderate(api, man)
    await until_delivered(server)
    users = {"host": host, "man": man, "woman": woman}
    ids = {f"{name}_id": client.id for name, client in users.items()}
    tokens = {name: client.token for name, client in users.items()}
    return {**tokens, **ids, "live_id": host.live_id}


async def _fill_room(api: ApiFixture, host: ApiClient, man: ApiClient, woman: ApiClient) -> None:
    await take_seat(man)
    (await woman.post("qlive_room/apply_micro/", live_id=woman.live_id)).ok()
    viewer = await api.guest("viewer", 2, host.live_id)
    await (await viewer.connect()).frame()
    removed = await api.guest("removed", 1, host.live_id)
    (await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=removed.id)).ok()


async def _pay(api: ApiFixture, server: ServerProcess, client: ApiClient) -> None:
    await pay_order(api, await create_order(client, 1))
    await notification_statuses(server)
    await create_order(client, 2)


async def _moderate(api: ApiFixture, man: ApiClient) -> None:
    banned = await api.user("banned", 1)
    (await api.ops("PATCH", f"users/{banned.id}", banned=True, ban_reason="spam")).ok()
    mistake = {"gold": 5, "reason": "a mistake", "request_id": "mistake"}
    (await api.ops("POST", f"users/{man.id}/grant", **mistake)).ok()
    rows = (await api.ops("GET", f"ledger?user_id={man.id}&kind=grant")).ok()["items"]
    (await api.ops("POST", "ledger/reverse", entry=rows[0]["id"], reason="a mistake")).ok()


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
