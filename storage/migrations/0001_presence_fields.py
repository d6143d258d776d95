"""Completes memberships that were stored before presence.

They get the fields of a member who has never had a socket (NOT_CONNECTED in storage/members.py),
so that storage/presence.py finds them in every row. Repeatable: a field that a row has is kept.
Servers of schema 0 store the fields with every membership and run side by side with newer ones.
"""

from storage.database import Database, Document
from storage.migrations.batches import update_in_batches
from storage.migrations.migration import Migration

DEFAULTS: Document = {
    "process": None,
    "socket": 0,
    "away_at": None,
    "due_at": None,
    "stream": None,
    "seen_at": "$entered_at",
}


async def apply(database: Database) -> int:
    incomplete = {"$or": [{name: {"$exists": False}} for name in DEFAULTS]}
    fields = {name: {"$ifNull": [f"${name}", default]} for name, default in DEFAULTS.items()}
    return await update_in_batches(database.collection("members"), incomplete, [{"$set": fields}])


MIGRATION = Migration(1, "presence_fields", apply, oldest=0)
