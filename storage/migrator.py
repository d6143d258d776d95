"""Brings the stored data to the schema of this server, in one process at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import structlog
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from core.errors import StartupError
from storage.database import Collection, Database
from storage.job_leases import JobLeaseStore
from storage.migrations import MIGRATIONS, Migration

log = structlog.get_logger("qlive.storage")

JOB_NAME = "migration"
LEASE_SECONDS = 30.0
"""Lease of the migrating process, renewed three times as often; then it is presumed dead."""
WAIT_SECONDS = 600.0
"""Time that a start waits for the migrations of another process."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """`oldest`: the lowest schema whose servers can run on the database."""

    version: int
    oldest: int


class SchemaTooNew(StartupError):
    """The database is of a release that this one cannot run beside."""

    def __init__(self, stored: StoredSchema, own: int) -> None:
        super().__init__(
            f"The database has schema {stored.version}, which servers older than schema"
            f" {stored.oldest} cannot use, and this server has schema {own}: start a newer release."
        )


class OlderServerRunning(StartupError):
    """A migration would break a server that is still running."""

    def __init__(self, migration: Migration) -> None:
        super().__init__(
            f"Migration {migration.number} ({migration.name}) breaks servers older than schema"
            f" {migration.oldest}, and one is running: stop it or upgrade it first."
        )


class MigrationTimeout(StartupError):
    """Another process has been migrating for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"Another process has been migrating the database for {seconds:g} s; wait for its"
            " migration_applied in the log, then start again."
        )


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """`documents`: the number of documents that were changed."""

    migration: Migration
    documents: int


class SchemaStore:
    """The collection `schema`: one document, which a new database lacks."""

    def __init__(self, database: Database) -> None:
        self._schema: Collection = database.collection("schema")
        self._processes: Collection = database.collection("processes")

    async def read(self, newest: StoredSchema) -> StoredSchema:
        """The stored schema; a new database gets `newest`, since it has nothing to migrate."""
        row = await self._schema.find_one_and_update(
            {"_id": "schema"},
            {"$setOnInsert": {**asdict(newest), "changed_at": datetime.now(UTC)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert row is not None
        return StoredSchema(row["version"], row["oldest"])

    async def record(self, migration: Migration) -> None:
        """Store that the migration is complete. Neither number ever decreases."""
        fields = {
            "version": {"$max": ["$version", migration.number]},
            "oldest": {"$max": ["$oldest", migration.oldest]},
            "changed_at": "$$NOW",
        }
        await self._schema.update_one({"_id": "schema"}, [{"$set": fields}])

    async def has_processes_before(self, schema: int) -> bool:
        """Whether a process with a valid lease is of an older schema."""
        valid = {"$gte": ["$expires_at", "$$NOW"]}
        older = {"schema": {"$lt": schema}, "$expr": valid}
        return await self._processes.find_one(older, {"_id": 1}) is not None


class Migrator:
    """Applies the migrations that the database lacks, under a lease."""

    def __init__(
        self,
        database: Database,
        migrations: Sequence[Migration] = MIGRATIONS,
        *,
        lease_seconds: float = LEASE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._database = database
        self._schema = SchemaStore(database)
        self._job_leases = JobLeaseStore(database)
        self._migrations = migrations
        self._newest = StoredSchema(1 + len(migrations), migrations[-1].oldest if migrations else 1)
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds

    async def run(self) -> list[AppliedMigration]:
        """Apply what is missing, or wait until another process has; what this one has applied.

        Raises SchemaTooNew, OlderServerRunning or MigrationTimeout.
        """
        deadline, waits = time.monotonic() + self._wait_seconds, False
        while await self._missing():
            if await self._job_leases.acquire(JOB_NAME, self._lease_seconds):
                async with self._lease():
                    return [await self._apply(migration) for migration in await self._missing()]
            if time.monotonic() >= deadline:
                raise MigrationTimeout(self._wait_seconds)
            if not waits:
                log.info("migration_awaited", seconds=self._wait_seconds)
                waits = True
            await asyncio.sleep(POLL_SECONDS)
        return []

    async def _missing(self) -> Sequence[Migration]:
        """The migrations that the database lacks; raises SchemaTooNew."""
        stored = await self._schema.read(self._newest)
        if self._newest.version < stored.oldest:
            raise SchemaTooNew(stored, self._newest.version)
        return self._migrations[stored.version - 1 :]

    async def _apply(self, migration: Migration) -> AppliedMigration:
        if await self._schema.has_processes_before(migration.oldest):
            raise OlderServerRunning(migration)
        number, name, started = migration.number, migration.name, time.monotonic()
        log.info("migration_started", number=number, name=name)
        documents = await migration.apply(self._database)
        await self._schema.record(migration)
        seconds = round(time.monotonic() - started, 3)
        log.info(
            "migration_applied", number=number, name=name, documents=documents, seconds=seconds
        )
        return AppliedMigration(migration, documents)

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[None]:
        """Renews the lease, and gives it up at the end, also of a migration that fails."""
        renewal = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewal.cancel()
            with suppress(PyMongoError):  # it runs out
                await self._job_leases.release(JOB_NAME, 0)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            with suppress(PyMongoError):
                await self._job_leases.release(JOB_NAME, self._lease_seconds)
