"""Migrations, also by several processes at once and after a kill, on a real MongoDB."""

import asyncio
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient

from core.errors import StartupError
from storage.database import Database
from storage.migrations import SCHEMA, Migration, Migrator
from storage.rooms.presence import PresenceStore
from tests.support.room_builders import GRACE
from tests.support.storage import NAME

LONG = 3_600.0
ROWS, SOME = 6, 2


@pytest.fixture
def old_database(database: Database, mongo: MongoClient[Any]) -> Database:
    """A database of schema 1 with rows in the old form."""
    mongo[NAME].schema.replace_one({"_id": "schema"}, {"version": 1, "oldest": 1}, upsert=True)
    mongo[NAME].counters.insert_many([{"_id": n, "old": n} for n in range(ROWS)])
    return database


async def convert(database: Database, limit: int = ROWS) -> int:
    """Convert at most `limit` of the rows that are still in the old form."""
    rows = database.collection("counters")
    old = await rows.find({"old": {"$exists": True}}).sort("_id", 1).to_list(limit)
    for row in old:
        change = {"$rename": {"old": "new"}, "$inc": {"conversions": 1}}
        await rows.update_one({"_id": row["_id"], "old": row["old"]}, change)
    return len(old)


async def stop_halfway(database: Database) -> int:
    """As when the process is killed."""
    await convert(database, SOME)
    raise RuntimeError


async def are_converted_once(database: Database) -> bool:
    rows = await database.collection("counters").find({}).sort("_id", 1).to_list()
    return rows == [{"_id": n, "new": n, "conversions": 1} for n in range(ROWS)]


def step(applied: list[int], number: int, oldest: int = 1) -> Migration:
    """A migration that adds its number to `applied`."""

    async def apply(_database: Database) -> int:
        applied.append(number)
        return 0

    return Migration(number, f"step_{number}", apply, oldest)


async def stored(database: Database) -> tuple[int, int]:
    row = await database.collection("schema").find_one({})
    assert row is not None
    return row["version"], row["oldest"]


async def test_migrations_are_applied_in_order_and_once(old_database: Database) -> None:
    applied: list[int] = []
    stopped = [step(applied, 2), Migration(3, "convert", stop_halfway, oldest=1)]
    with pytest.raises(RuntimeError):
        await Migrator(old_database, stopped).run()
    assert await stored(old_database) == (2, 1)
    migrations = [step(applied, 2), Migration(3, "convert", convert, oldest=1)]
    assert await Migrator(old_database, migrations).run() == [(migrations[1], ROWS - SOME)]
    assert await Migrator(old_database, migrations).run() == []
    assert await stored(old_database) == (3, 1)
    assert len(await Migrator(old_database, [*migrations, step(applied, 4)]).run()) == 1
    assert applied == [2, 4]
    assert await are_converted_once(old_database)


async def test_two_processes_at_once_migrate_each_document_once(old_database: Database) -> None:
    both = asyncio.Barrier(2)

    async def convert_together(database: Database) -> int:
        await both.wait()
        return await convert(database)

    migration = Migration(2, "convert", convert_together, oldest=1)
    found = await asyncio.gather(*(Migrator(old_database, [migration]).run() for _ in range(2)))
    assert [len(applied) for applied in found] == [1, 1]
    assert await are_converted_once(old_database)
    assert await stored(old_database) == (2, 1)


async def test_server_runs_on_a_newer_schema_unless_excluded(old_database: Database) -> None:
    applied: list[int] = []
    newer = [step(applied, 2), step(applied, 3, oldest=2), step(applied, 4, oldest=3)]
    await Migrator(old_database, newer).run()
    assert await Migrator(old_database, newer[:2]).run() == []
    with pytest.raises(StartupError) as refused:
        await Migrator(old_database, newer[:1]).run()
    assert str(refused.value) == (
        "The database has schema 4, which servers older than schema 3 cannot use, and this server"
        " has schema 2: start a newer release."
    )


async def test_migration_waits_for_the_end_of_older_servers(old_database: Database) -> None:
    applied, processes = list[int](), old_database.collection("processes")
    presence = PresenceStore(old_database, GRACE)
    for process in ("current", "old"):
        await presence.renew(process, LONG)
    assert await processes.distinct("schema") == [SCHEMA]
    await processes.update_one({"_id": "current"}, {"$set": {"schema": 2}})
    migrator = Migrator(old_database, [step(applied, 2), step(applied, 3, oldest=2)])
    with pytest.raises(StartupError, match="Migration 3 .step_3. breaks servers older"):
        await migrator.run()
    assert applied == [2]
    await presence.forget("old")
    await migrator.run()
    assert applied == [2, 3]
    assert await stored(old_database) == (3, 2)


async def test_new_database_has_the_newest_schema(mongo_uri: str, mongo: MongoClient[Any]) -> None:
    name, applied = "qlive_test_new", list[int]()
    mongo.drop_database(name)
    database = Database(mongo_uri, name)
    migrator = partial(Migrator, database, [step(applied, 2), step(applied, 3, oldest=2)])
    assert await asyncio.gather(migrator().run(), migrator().run()) == [[], []]
    assert (applied, await stored(database)) == ([], (3, 2))
    await database.close()
    mongo.drop_database(name)
