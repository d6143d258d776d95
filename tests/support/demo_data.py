"""The first data of a server, created once per worker and then copied."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import json_util
from pymongo import MongoClient

from devtools import demo
from handlers.context import Context
from runtime.process import ServerProcess
from services.gold.ledger_audit import JOB_NAME as LEDGER_CHECK

AN_HOUR = timedelta(hours=1)


class DemoData:
    """Replaces `ServerProcess._store_first_data`: indexes, configs and demo data are some 100
    commands, 0.1 s each time."""

    def __init__(self, mongo: MongoClient[Any]) -> None:
        self._mongo = mongo
        self._store = ServerProcess._store_first_data
        self._snapshots: dict[tuple[object, ...], tuple[str, str]] = {}
        """(collections as JSON, address of the server that stored them)."""

    async def __call__(self, server: ServerProcess, context: Context) -> None:
        """Copies a snapshot into an empty database; otherwise like the original."""
        settings = server.settings
        database = self._mongo[settings.mongodb.database]
        app_id = next(iter(settings.wechat.apps))
        key = (database.name, settings.server.public_url, app_id, *demo.USERS)
        if database.configs.find_one():
            await self._store(server, context)
            return
        if key not in self._snapshots:
            await self._store(server, context)
            names = set(database.list_collection_names()) - {"schema"}  # is never cleared
            collections = {name: list(database[name].find()) for name in names}
            self._snapshots[key] = json_util.dumps(collections), server.address
            return
        text, address = self._snapshots[key]
        for name, rows in json_util.loads(text.replace(address, server.address)).items():
            if rows:
                database[name].insert_many(rows)
        # A new server does not check the whole ledger at its start.
        later = datetime.now(UTC) + AN_HOUR
        database.job_leases.insert_one({"_id": LEDGER_CHECK, "due_at": later})
