"""What the first start of a server stores, made once per worker and copied from then on."""

from collections.abc import Mapping
from typing import Any

from bson import json_util
from pymongo import MongoClient

from handlers.parts import Parts
from server import Server

Stored = Mapping[str, list[dict[str, Any]]]


class Planting:
    """Stands in for the planting of a server: indexes, configs and demo data are some 100 commands
    each time, and a tenth of a second."""

    def __init__(self, mongo: MongoClient[Any]) -> None:
        self._mongo = mongo
        self._plant = Server._plant
        self._texts: dict[tuple[str, bool], tuple[str, str]] = {}
        """What was stored, as JSON, and the address of the server that stored it."""

    async def __call__(self, server: Server, parts: Parts, *, demo_people: bool) -> None:
        """Like the original; copies where it starts on an empty database."""
        settings = server.settings.mongodb
        key = (settings.uri + settings.database, demo_people)
        database = self._mongo[settings.database]
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
