"""schema: one document, the version of the stored data and the oldest that may still run on it."""

from dataclasses import dataclass

from storage.database import Collection, Database
from storage.migrations.migration import Migration


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """`oldest`: the lowest schema whose servers can run on the database."""

    version: int = 0
    oldest: int = 0


class SchemaStore:
    """Reads and raises the schema's version; a database without the document has schema 0."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._schema: Collection = database.collection("schema")
        self._processes: Collection = database.collection("processes")

    async def read(self) -> StoredSchema:
        row = await self._schema.find_one({"_id": "schema"})
        return StoredSchema(row["version"], row["oldest"]) if row else StoredSchema()

    async def is_new_database(self) -> bool:
        """Whether the database has no collection yet."""
        return not await self._database.collection_names()

    async def record(self, migration: Migration) -> None:
        """Store that the migration is complete. Neither number ever decreases."""
        fields = {
            "version": {"$max": ["$version", migration.number]},
            "oldest": {"$max": ["$oldest", migration.oldest]},
            "changed_at": "$$NOW",
        }
        await self._schema.update_one({"_id": "schema"}, [{"$set": fields}], upsert=True)

    async def has_processes_before(self, schema: int) -> bool:
        """Whether a process with a valid lease is of an older schema."""
        older = {
            "schema": {"$not": {"$gte": schema}},  # schema 0 does not store it
            "$expr": {"$gte": ["$expires_at", "$$NOW"]},
        }
        return await self._processes.find_one(older, {"_id": 1}) is not None
