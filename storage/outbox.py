"""errands: the persistent outbox of calls to Tencent that no request waits for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bson import ObjectId
from pymongo import ReturnDocument

from storage.database import Collection, Database, Document, Session
from storage.deletion import delete_some
from storage.write_batch import WriteBatch

NORMAL, URGENT = "due", "urgent"
"""`state` of a waiting message, which is its lane: a full one does not delay the other."""
NEWEST = 8
"""Values that `add_newest` keeps in one message."""


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A claimed message; `tries` counts its claims, this one included."""

    id: str
    kind: str
    payload: dict[str, Any]
    tries: int


class OutboxStore:
    """Durable at-least-once queue: a message is leased, then done, rescheduled or failed."""

    def __init__(
        self, database: Database, kinds: Document | None = None, lane: str = NORMAL
    ) -> None:
        """Claims messages of `lane`; `kinds`: a MongoDB condition on their kinds, by default
        all."""
        self._database = database
        self._kinds = kinds or {"$nin": []}
        self._lane = lane
        self._messages: Collection = database.collection("errands")

    def only(self, *kinds: str) -> Self:
        """View of the queue that claims only messages of these kinds.

        An unresponsive service then does not delay the messages of another.
        """
        return type(self)(self._database, {"$in": list(kinds)}, self._lane)

    def without(self, *kinds: str) -> Self:
        """View of the queue that claims messages of all other kinds."""
        return type(self)(self._database, {"$nin": list(kinds)}, self._lane)

    def urgent(self) -> Self:
        """View of the queue that claims only urgent messages."""
        return type(self)(self._database, self._kinds, URGENT)

    async def make_indexes(self) -> None:
        await self._messages.create_index([("state", 1), ("due_at", 1)])
        await self._messages.create_index(
            [("key", 1), ("kind", 1)],
            partialFilterExpression={"key": {"$exists": True}, "tries": 0},
        )

    async def add(
        self,
        kind: str,
        payload: dict[str, Any],
        session: Session | None = None,
        *,
        urgent: bool = False,
        key: str = "",
    ) -> None:
        """Queue a message for the urgent or for the normal lane.

        With a `key`, nothing is added while a message of the same kind, key and lane waits for its
        first claim. It is for actions that read what to send when they run.
        """
        row = {"payload": payload, "due_at": datetime.now(UTC)}
        lane = URGENT if urgent else NORMAL
        if key:
            # `times` is written in any case: a transaction then conflicts with a claim of the
            # message that it does not see.
            await self._messages.update_one(
                {"kind": kind, "key": key, "state": lane, "tries": 0},
                {"$setOnInsert": row, "$inc": {"times": 1}},
                upsert=True,
                session=session,
            )
            return
        await self._messages.insert_one(
            {"kind": kind, "state": lane, "tries": 0, **row}, session=session
        )

    def add_urgent(self, kind: str, payload: dict[str, Any], batch: WriteBatch) -> None:
        """Add a message for the urgent lane to writes that are committed together."""
        row = {"kind": kind, "state": URGENT, "tries": 0, "payload": payload}
        batch.insert("errands", {**row, "due_at": datetime.now(UTC)})

    def add_newest(self, kind: str, name: str, value: str, batch: WriteBatch, *, key: str) -> None:
        """Add a message to the writes, or `value` to the one of this kind and key that waits.

        Its payload has the latest value as `name`, which is all that workers of the version before
        know, and the NEWEST latest ones, in order, as `name` with an s.
        """
        waiting = {"kind": kind, "key": key, "state": NORMAL, "tries": 0}
        change: Document = {
            "$setOnInsert": {"due_at": datetime.now(UTC)},
            "$inc": {"times": 1},
            "$set": {f"payload.{name}": value},
            "$push": {f"payload.{name}s": {"$each": [value], "$slice": -NEWEST}},
        }
        batch.upsert("errands", waiting, change)

    async def claim(self, now: datetime, until: datetime) -> OutboxMessage | None:
        """Lease the earliest due message until `until` and count the try; None if none is due."""
        row = await self._messages.find_one_and_update(
            {"state": self._lane, "due_at": {"$lte": now}, "kind": self._kinds},
            {"$set": {"due_at": until}, "$inc": {"tries": 1}},
            sort=[("due_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            return None
        return OutboxMessage(str(row["_id"]), row["kind"], row["payload"], row["tries"])

    async def mark_done(self, message_id: str) -> None:
        await self._messages.delete_one({"_id": ObjectId(message_id)})

    async def reschedule(self, message_id: str, at: datetime, why: str) -> None:
        await self._set(message_id, due_at=at, why=why)

    async def mark_failed(self, message_id: str, why: str) -> None:
        """Keep the message for inspection; it is never tried again."""
        await self._set(message_id, state="failed", why=why)

    async def delete_failed_before(self, at: datetime, limit: int) -> int:
        """Delete at most `limit` messages that failed before `at`; their number."""
        return await delete_some(self._messages, {"state": "failed", "due_at": {"$lt": at}}, limit)

    async def waiting(self) -> int:
        """Number of messages in both lanes, claimed ones included."""
        return await self._messages.count_documents({"state": {"$in": [NORMAL, URGENT]}})

    async def _set(self, message_id: str, **fields: Any) -> None:
        await self._messages.update_one({"_id": ObjectId(message_id)}, {"$set": fields})
