"""One MongoDB for all tests of a pytest worker."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database

from devtools.embedded_mongod import EmbeddedMongod
from runtime.process import ServerProcess
from tests.support.ports import prefer_free_port

MEMORY = Path("/dev/shm")


def new_folder() -> Path:
    """A temporary folder, in memory where possible: mongod syncs every acknowledged write."""
    return Path(tempfile.mkdtemp(prefix="qlive-", dir=MEMORY if MEMORY.is_dir() else None))


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """URI of one mongod for all tests of a worker."""
    folder = new_folder()
    prefer_free_port(folder)
    mongod, loop = EmbeddedMongod(folder), asyncio.new_event_loop()
    try:
        uri = loop.run_until_complete(mongod.start())
        # Majority writes do not wait for the journal, which would halve the throughput; no test
        # kills this mongod. Diagnostic data are not collected, and expired documents stay: MongoDB
        # would delete them every minute, in the middle of a test.
        with MongoClient[Any](uri) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            version = config["version"] + 1
            config |= {"version": version, "writeConcernMajorityJournalDefault": False}
            client.admin.command("replSetReconfig", config)
            # Until something is written under the new configuration, majority writes that change
            # nothing would wait.
            client.admin.command("appendOplogNote", data={"configured": True})
            client.admin.command("setParameter", 1, diagnosticDataCollectionEnabled=False)
            client.admin.command("setParameter", 1, ttlMonitorEnabled=False)
        yield uri
        loop.run_until_complete(mongod.stop())
    finally:
        loop.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mongo(mongo_uri: str) -> Iterator[MongoClient[Any]]:
    """A client that does not belong to a server."""
    with MongoClient[Any](mongo_uri, tz_aware=True) as client:
        yield client


@pytest.fixture(scope="session")
def indexed_databases() -> set[str]:
    """Names of databases with indexes, which `clear_database` keeps."""
    return set()


def clear_database(mongo: MongoClient[Any], database: str) -> None:
    """Deletes documents only: creating collections and indexes takes longer.

    The schema's version stays, so that a start has nothing to migrate. One query finds the
    collections with documents; a delete of each would take three times as long.
    """
    unacknowledged = mongo.get_database(database, write_concern=WriteConcern(w=0))
    names = set(unacknowledged.list_collection_names()) - {"schema"}
    one = {name: [{"$limit": 1}, {"$project": {"_id": {"$literal": name}}}] for name in names}
    union = [{"$unionWith": {"coll": name, "pipeline": one[name]}} for name in names]
    for row in unacknowledged.empty.aggregate(union):
        unacknowledged[row["_id"]].delete_many({})
    mongo.admin.command("ping")  # on the same connection: answered after the deletes


@pytest.fixture
def db(server: ServerProcess, mongo: MongoClient[Any]) -> Database[dict[str, Any]]:
    """The database of `server`, read directly."""
    return mongo[server.settings.mongodb.database]


@contextmanager
def blocked_writes(collection: Collection[dict[str, Any]], id_: str) -> Iterator[None]:
    """Other writes to a document wait for the end of the block: a transaction has written to it."""
    with collection.database.client.start_session() as session:
        session.start_transaction()
        written = collection.update_one({"_id": id_}, {"$set": {"blocked": True}}, session=session)
        assert written.matched_count == 1
        yield
        session.abort_transaction()
