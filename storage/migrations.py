"""Numbered changes of stored data, from schema 1, that of release 1.0.0, and who applies them."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from core.errors import StartupError
from storage.database import Collection, Database
from storage.documents import change_one

log = structlog.get_logger("qlive.storage")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from schema `number - 1` to schema `number`.

    `apply` returns the number of documents that it has changed. It may be killed anywhere and
    repeated, also by several processes at once, and runs while older servers serve: it changes only
    what it finds in the old form, in commands that take less than OPERATION_MS each
    (storage/database.py).
    """

    number: int
    name: str
    apply: Callable[[Database], Awaitable[int]]
    oldest: int
    """The lowest schema whose servers can run on the database afterwards.

    A change of form takes two releases: the first reads both forms and writes the new one, the
    second, whose `oldest` is the schema of the first, converts the rest.
    """


MIGRATIONS: tuple[Migration, ...] = ()
"""In order; the first has number 2."""
SCHEMA = 1 + len(MIGRATIONS)
"""The schema that this server reads and writes."""


class Migrator:
    """Applies the migrations that the database lacks.

    The collection `schema` has one document: the `version` of the stored data, and the `oldest`
    schema whose servers can run on them.
    """

    def __init__(self, database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self._database = database
        self._schema: Collection = database.collection("schema")
        self._processes: Collection = database.collection("processes")
        self._migrations = migrations

    async def run(self) -> list[tuple[Migration, int]]:
        """Apply the missing migrations; return each with the number of documents that it changed.

        A new database gets the newest schema, since it has nothing to migrate. Raises StartupError
        if its release cannot run beside this one, or would lose a server that is still running.
        """
        own = 1 + len(self._migrations)
        newest = {"version": own, "oldest": self._migrations[-1].oldest if self._migrations else 1}
        new = {"$setOnInsert": {**newest, "changed_at": datetime.now(UTC)}}
        stored = await change_one(self._schema, {"_id": "schema"}, new, upsert=True)
        assert stored is not None
        if own < stored["oldest"]:
            raise StartupError(
                f"The database has schema {stored['version']}, which servers older than schema"
                f" {stored['oldest']} cannot use, and this server has schema {own}: start a newer"
                " release."
            )
        missing = self._migrations[stored["version"] - 1 :]
        return [(migration, await self._apply(migration)) for migration in missing]

    async def _apply(self, migration: Migration) -> int:
        has_lease = {"$gte": ["$expires_at", "$$NOW"]}
        number, name, started = migration.number, migration.name, time.monotonic()
        older = {"schema": {"$lt": migration.oldest}, "$expr": has_lease}
        if await self._processes.find_one(older, {"_id": 1}):
            raise StartupError(
                f"Migration {number} ({name}) breaks servers older than schema {migration.oldest},"
                " and one is running: stop it or upgrade it first."
            )
        log.info("migration_started", number=number, name=name)
        documents = await migration.apply(self._database)
        # Neither number ever decreases: another process may be ahead.
        fields = {
            "version": {"$max": ["$version", number]},
            "oldest": {"$max": ["$oldest", migration.oldest]},
            "changed_at": "$$NOW",
        }
        await self._schema.update_one({"_id": "schema"}, [{"$set": fields}])
        seconds = round(time.monotonic() - started, 3)
        log.info(
            "migration_applied", number=number, name=name, documents=documents, seconds=seconds
        )
        return documents
