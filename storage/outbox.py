"""errands: the persistent outbox of calls to Tencent that no request waits for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bson import ObjectId
from pymongo import ReturnDocument

from storage.database import Collection, Database, Document, Session


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A claimed message; `tries` counts its claims, this one included."""

    id: str
    kind: str
    payload: dict[str, Any]
    tries: int


class OutboxStore:
    """Durable at-least-once queue: a message is leased, then done, rescheduled or failed."""

    def __init__(self, database: Database, kinds: Document | None = None) -> None:
        """`kinds`: a MongoDB condition on the kinds that are claimed; by default all."""
        self._database = database
        self._kinds = kinds or {"$nin": []}
        self._messages: Collection = database.collection("errands")

    def only(self, *kinds: str) -> Self:
        """View of the queue that claims only messages of these kinds.

        An unresponsive service then does not delay the messages of another.
        """
        return type(self)(self._database, {"$in": list(kinds)})

    def without(self, *kinds: str) -> Self:
        """View of the queue that claims messages of all other kinds."""
        return type(self)(self._database, {"$nin": list(kinds)})

    async def make_indexes(self) -> None:
        await self._messages.create_index([("state", 1), ("due_at", 1)])

    async def add(self, kind: str, payload: dict[str, Any], session: Session | None = None) -> None:
        row = {"kind": kind, "payload": payload, "tries": 0, "state": "due"}
        await self._messages.insert_one({**row, "due_at": datetime.now(UTC)}, session=session)

    async def claim(self, now: datetime, until: datetime) -> OutboxMessage | None:
        """Lease the earliest due message until `until` and count the try; None if none is due."""
        row = await self._messages.find_one_and_update(
            {"state": "due", "due_at": {"$lte": now}, "kind": self._kinds},
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

    async def waiting(self) -> int:
        return await self._messages.count_documents({"state": "due"})

    async def _set(self, message_id: str, **fields: Any) -> None:
        await self._messages.update_one({"_id": ObjectId(message_id)}, {"$set": fields})
