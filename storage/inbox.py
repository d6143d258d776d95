"""inbox: every callback from outside as it came, once, with what became of it."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument

from storage.database import Collection, Database, Document

KEPT = timedelta(days=30)
REFUSED_KEPT = timedelta(days=7)
RAW_BYTES = 64 * 1024
QUERY_BYTES = 2048
REFUSED_BYTES = 8 * 1024
"""Enough for the genuine ones that only a wrong key of ours refuses; Tencent's examples are below
500 bytes."""
REFUSED_PLACES = 2048
"""Per source. Whatever a stranger sends, refused callbacks cannot fill more than some 20 MB: one
more takes the place of an older one."""


@dataclass(frozen=True, slots=True)
class Note:
    """A callback as it came: `id` is the same for every repetition, `query` has no signature."""

    source: str
    id: str
    query: str
    raw: str


class Inbox:
    """A note is received, then done or ignored; or it is refused.

    The effect of a note has to be idempotent: a crash between the effect and `settle` leaves it
    `received`, and the repetition carries it out again.
    """

    def __init__(self, database: Database) -> None:
        self._inbox: Collection = database.collection("inbox")

    async def make_indexes(self) -> None:
        await self._inbox.create_index("expires_at", expireAfterSeconds=0)

    async def receive(self, note: Note) -> bool:
        """Whether its effect is still to be carried out; it is stored either way."""
        now = datetime.now(UTC)
        new = _content(note, RAW_BYTES) | {
            "received_at": now,
            "outcome": "received",
            "reason": "",
            "expires_at": now + KEPT,
        }
        row = await self._inbox.find_one_and_update(
            {"_id": _name(note)},
            {"$setOnInsert": new, "$inc": {"times": 1}},
            {"outcome": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return row is not None and row["outcome"] == "received"

    async def settle(self, note: Note, ignored: str = "") -> None:
        """Done, or ignored for that reason; of two who settle it at once the first is right."""
        settled = {"outcome": "ignored" if ignored else "done", "reason": ignored}
        await self._inbox.update_one({"_id": _name(note), "outcome": "received"}, {"$set": settled})

    async def refuse(self, note: Note, reason: str) -> None:
        """Kept apart from the genuine, which a forged one must never stand in the way of."""
        now = datetime.now(UTC)
        latest = _content(note, REFUSED_BYTES) | {
            "received_at": now,
            "outcome": "refused",
            "reason": reason,
            "expires_at": now + REFUSED_KEPT,
        }
        await self._inbox.update_one(
            {"_id": _place(note)}, {"$set": latest, "$inc": {"times": 1}}, upsert=True
        )


def _content(note: Note, limit: int) -> Document:
    return {
        "source": note.source,
        "query": _cut(note.query, QUERY_BYTES),
        "raw": _cut(note.raw, limit),
    }


def _name(note: Note) -> str:
    return f"{note.source}:{note.id}"


def _place(note: Note) -> str:
    """The same for the same content; others share it only when there are very many."""
    digest = hashlib.sha256(note.id.encode()).digest()
    return f"refused:{note.source}:{int.from_bytes(digest[:4]) % REFUSED_PLACES}"


def _cut(text: str, limit: int) -> str:
    return text.encode(errors="replace")[:limit].decode(errors="ignore")
