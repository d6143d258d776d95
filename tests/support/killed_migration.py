"""A program that migrates some rows, says so, and then hangs until it is killed.

Arguments: MongoDB's URI, the database.
"""

import asyncio
import sys

from storage.database import Database
from storage.migrations import Migration, Migrator

ROWS, CONVERTED = 6, 2
READY = "some rows are converted"


async def convert(database: Database, limit: int = ROWS) -> int:
    """Convert at most `limit` of the rows that are still in the old form."""
    rows = database.collection("counters")
    old = await rows.find({"old": {"$exists": True}}).sort("_id", 1).to_list(limit)
    for row in old:
        change = {"$rename": {"old": "new"}, "$inc": {"conversions": 1}}
        await rows.update_one({"_id": row["_id"], "old": row["old"]}, change)
    return len(old)


async def convert_some(database: Database) -> int:
    await convert(database, CONVERTED)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    return 0


async def main(uri: str, name: str) -> None:
    migration = Migration(2, "convert", convert_some, oldest=1)
    await Migrator(Database(uri, name), [migration]).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
