"""inbox: every callback from outside as it came, once, with what became of it."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pymongo import ReturnDocument

from storage.database import Collection, Database, Document
from storage.pages import page, starts

Outcome = Literal["done", "ignored", "refused"]
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
BEFORE = ("", "im:", "live:", "jsapi:", "xpay:", "xpay:xpay_goods_deliver_notify:")
"""What may stand in a row's `_id` before that by which people know it: the last is WeChat's word
before the number of an order."""


@dataclass(frozen=True, slots=True)
class Note:
    """A callback as it came: `id` is the same for every repetition, `query` has no signature."""

    source: str
    id: str
    query: str
    raw: str


class Inbox:
    """A note is received, then done, ignored, or refused for what it says; or it is not genuine,
    and refused at once.

    The effect of a note has to be idempotent: a crash between the effect and `settle` leaves it
    `received`, and the repetition carries it out again.
    """

    def __init__(self, database: Database) -> None:
        self._inbox: Collection = database.collection("inbox")

    async def make_indexes(self) -> None:
        await self._inbox.create_index("expires_at", expireAfterSeconds=0)
        newest = [("received_at", -1), ("_id", -1)]
        await self._inbox.create_index(newest)
        await self._inbox.create_index([("outcome", 1), *newest])

    async def receive(self, note: Note) -> str:
        """Its outcome so far: "received" when its effect is still to be carried out. It is stored
        either way."""
        now = datetime.now(UTC)
        new = _content(note, RAW_BYTES) | {
            "received_at": now,
            "genuine": True,
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
        return str(row["outcome"]) if row else "received"

    async def why_refused(self, note: Note) -> str:
        """The reason that was found when it came first."""
        row = await self._inbox.find_one({"_id": _name(note)}, {"reason": 1})
        return str((row or {}).get("reason", ""))

    async def settle(
        self, note: Note, outcome: Outcome, reason: str = "", *, lasting: bool = False
    ) -> None:
        """Of two who settle it at once the first is right. A `lasting` one is kept for good."""
        settled: Document = {"outcome": outcome, "reason": reason}
        if lasting:
            settled["expires_at"] = None
        await self._inbox.update_one({"_id": _name(note), "outcome": "received"}, {"$set": settled})

    async def find(self, name: str) -> Document | None:
        """The row of that `_id`."""
        return await self._inbox.find_one({"_id": name})

    async def reopen(self, name: str) -> bool:
        """Its effect is to be carried out (again); False for one that was not even genuine."""
        changed = await self._inbox.update_one(
            {"_id": name, "genuine": True}, {"$set": {"outcome": "received", "reason": ""}}
        )
        return bool(changed.matched_count)

    async def page(
        self, source: str, outcome: str, after: str, limit: int, *, said: str = ""
    ) -> tuple[list[Document], str | None]:
        """For operators: with `said` the start of its `_id`, or of what follows its source there;
        NoCursor."""
        where: Document = {"source": source} if source else {}
        if outcome:
            where["outcome"] = outcome
        if said:
            where["$or"] = [{"_id": starts(before + said)} for before in BEFORE]
        return await page(self._inbox, where, "received_at", after, limit)

    async def refuse(self, note: Note, reason: str) -> None:
        """Kept apart from the genuine, which a forged one must never stand in the way of."""
        now = datetime.now(UTC)
        latest = _content(note, REFUSED_BYTES) | {
            "received_at": now,
            "genuine": False,
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
