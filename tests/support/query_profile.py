"""MongoDB's profiler: what the queries of a test examined."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storage.database import Database
from tests.support.storage import NAME


@asynccontextmanager
async def profile_queries(database: Database, name: str) -> AsyncIterator[list[int]]:
    """The number of index keys or documents, the larger, examined by each query of a collection.

    The list is filled when the block ends.
    """
    db = database.client[NAME]
    examined: list[int] = []
    await db.command("profile", 2, filter={"ns": f"{NAME}.{name}", "op": "query"})
    try:
        yield examined
    finally:
        await db.command("profile", 0, filter="unset")
        rows = await db["system.profile"].find({"ns": f"{NAME}.{name}"}).sort("ts", 1).to_list()
        await db.drop_collection("system.profile")
        examined += [max(row["keysExamined"], row["docsExamined"]) for row in rows]
