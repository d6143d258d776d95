"""What the first start of a server stores, made once per worker and copied from then on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import json_util
from pymongo import MongoClient

import demo
from handlers.books import NAME as LEDGER_CHECK
from handlers.parts import Parts
from server import Server

AN_HOUR = timedelta(hours=1)


class Planting:
    """Stands in for the planting of a server: indexes, configs and demo data are some 100 commands
    each time, and a tenth of a second."""

    def __init__(self, mongo: MongoClient[Any], *, check_later: bool = True) -> None:
        """With `check_later` a new server does not begin with a check of the whole ledger."""
        self._mongo = mongo
        self._check_later = check_later
        self._plant = Server._plant
        self._texts: dict[tuple[object, ...], tuple[str, str]] = {}
        """What was stored, as JSON, and the address of the server that stored it."""

    async def __call__(self, server: Server, parts: Parts) -> None:
        """Like the original; copies where it starts on an empty database."""
        settings = server.settings
        database = self._mongo[settings.mongodb.database]
        app_id = next(iter(settings.wechat.apps))
        key = (database.name, settings.server.public_url, app_id, *demo.PEOPLE)
        if database.configs.find_one():
            await self._plant(server, parts)
            return
        if key not in self._texts:
            await self._plant(server, parts)
            names = database.list_collection_names()
            stored = {name: list(database[name].find()) for name in names}
            self._texts[key] = json_util.dumps(stored), server.address
            return
        text, address = self._texts[key]
        for name, rows in json_util.loads(text.replace(address, server.address)).items():
            if rows:
                database[name].insert_many(rows)
        if self._check_later:
            database.turns.insert_one({"_id": LEDGER_CHECK, "due_at": datetime.now(UTC) + AN_HOUR})
