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


@pytest.fixture
def old_database(database: Database, mongo: MongoClient[Any]) -> Database:
    """A database of schema 1."""
    mongo[NAME].schema.replace_one({"_id": "schema"}, {"version": 1, "oldest": 1}, upsert=True)
    return database


def step(applied: list[int], number: int, oldest: int = 1) -> Migration:
    """A migration that adds its number to `applied`."""

    async def apply(_database: Database) -> int:
        applied.append(number)
        return number

    return Migration(number, f"step_{number}", apply, oldest)


async def stored(database: Database) -> tuple[int, int]:
    row = await database.collection("schema").find_one({})
    assert row is not None
    return row["version"], row["oldest"]


async def test_migrations_are_applied_in_order_and_again_after_a_kill(
    old_database: Database,
) -> None:
    applied: list[int] = []

    async def stop_halfway(_database: Database) -> int:
        applied.append(3)
        raise RuntimeError

    stopped = [step(applied, 2), Migration(3, "step_3", stop_halfway, oldest=1)]
    with pytest.raises(RuntimeError):
        await Migrator(old_database, stopped).run()
    assert await stored(old_database) == (2, 1)
    migrations = [step(applied, 2), step(applied, 3), step(applied, 4)]
    assert await Migrator(old_database, migrations[:2]).run() == [(migrations[1], 3)]
    assert await Migrator(old_database, migrations[:2]).run() == []
    assert await stored(old_database) == (3, 1)
    assert len(await Migrator(old_database, migrations).run()) == 1
    assert applied == [2, 3, 3, 4]


async def test_two_processes_may_apply_a_migration_at_once(old_database: Database) -> None:
    both = asyncio.Barrier(2)

    async def apply_together(_database: Database) -> int:
        await both.wait()
        return 1

    migration = Migration(2, "together", apply_together, oldest=1)
    found = await asyncio.gather(*(Migrator(old_database, [migration]).run() for _ in range(2)))
    assert found == [[(migration, 1)]] * 2
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
