"""outbox: the persistent outbox of calls to Tencent that no request waits for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Self

from bson import ObjectId

from core.batching import RequestBatcher
from storage.database import Collection, Database, Document, Session
from storage.due import claim_unchanged
from storage.write_batch import WriteBatch

NORMAL, URGENT = "due", "urgent"
"""`state` of a waiting message, which is its lane: a full one does not delay the other."""
NEWEST = 8
"""Values that a message keeps of each of its lists."""
LOOKAHEAD = 100
"""Due messages that a claim reads, to join those of one key."""
FAILED_KEPT = timedelta(days=30)
"""Time to find out why Tencent has rejected a call."""
MAX_DONE = 100
"""Messages deleted by one command."""


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
        self._messages: Collection = database.collection("outbox")
        self._done: RequestBatcher[str, None] = RequestBatcher(self._delete, MAX_DONE)

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
        await self._messages.create_index("expires_at", expireAfterSeconds=0)
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
        batch.insert("outbox", {**row, "due_at": datetime.now(UTC)})

    def add_newest(self, kind: str, name: str, value: str, batch: WriteBatch, *, key: str) -> None:
        """Add a message to the writes. Messages of one kind and key that wait are joined when one
        of them is claimed; a message that exists is not written to, which could conflict with its
        claim.

        The payload has the NEWEST latest values, in order, as `name`.
        """
        row = {"kind": kind, "key": key, "state": NORMAL, "tries": 0, "times": 1}
        batch.insert("outbox", {**row, "payload": {name: [value]}, "due_at": datetime.now(UTC)})

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[OutboxMessage]:
        """Lease at most `limit` messages that are due until `until`, the earliest first, and count
        the try. Messages of one kind and key that wait for their first claim become one."""
        where = {"state": self._lane, "due_at": {"$lte": now}, "kind": self._kinds}
        rows = await self._messages.find(where).sort("due_at", 1).limit(LOOKAHEAD).to_list()
        joined = _joined(sorted(rows, key=itemgetter("due_at", "_id")))[:limit]
        if not joined:
            return []
        updates = [_claim_update(rows, until) for rows in joined]
        claimed = await claim_unchanged(self._messages, updates)
        joined = [rows for rows in joined if rows[0]["_id"] in claimed]
        if others := [row["_id"] for rows in joined for row in rows[1:]]:
            # Unless another process has claimed it, or added to it, after it was read.
            await self._messages.delete_many({"_id": {"$in": others}, "tries": 0, "times": 1})
        return [_message_from(rows) for rows in joined]

    async def mark_done(self, message_id: str) -> None:
        await self._done.submit(0, message_id)

    async def reschedule(self, message_id: str, at: datetime, why: str) -> None:
        await self._set(message_id, due_at=at, why=why)

    async def mark_failed(self, message_id: str, why: str) -> None:
        """Keep the message for inspection, for FAILED_KEPT; it is never tried again."""
        expires_at = datetime.now(UTC) + FAILED_KEPT
        await self._set(message_id, state="failed", why=why, expires_at=expires_at)

    async def waiting(self) -> int:
        """Number of messages in both lanes, claimed ones included."""
        return await self._messages.count_documents({"state": {"$in": [NORMAL, URGENT]}})

    async def oldest(self) -> datetime | None:
        """When the oldest message of both lanes was added, a claimed one included."""
        waiting = {"state": {"$in": [NORMAL, URGENT]}}
        row = await self._messages.find_one(waiting, {"_id": 1}, sort=[("_id", 1)])
        return row["_id"].generation_time if row else None

    async def _delete(self, _name: int, message_ids: Sequence[str]) -> list[None]:
        await self._messages.delete_many({"_id": {"$in": [*map(ObjectId, message_ids)]}})
        return [None] * len(message_ids)

    async def _set(self, message_id: str, **fields: Any) -> None:
        await self._messages.update_one({"_id": ObjectId(message_id)}, {"$set": fields})


def _joined(rows: Iterable[Document]) -> list[list[Document]]:
    """Messages in their order, each with those that it is to be joined with."""
    joined: dict[Any, list[Document]] = {}
    for row in rows:
        alone = row["tries"] or "key" not in row
        name = row["_id"] if alone else (row["kind"], row["key"])
        joined.setdefault(name, []).append(row)
    return [*joined.values()]


def _claim_update(rows: Sequence[Document], until: datetime) -> tuple[Document, Document]:
    """Claims the first message, as it was read, with the payload of all."""
    first = rows[0]
    where = {
        "_id": first["_id"],
        **{name: first.get(name) for name in ("state", "due_at", "tries", "times")},
    }
    fields: Document = {"due_at": until}
    if len(rows) > 1:
        fields["payload"] = _payload(rows)
    return where, {"$set": fields, "$inc": {"tries": 1}}


def _payload(rows: Iterable[Document]) -> Document:
    """The payload of the last message, with the lists of all."""
    payload: Document = {}
    for row in rows:
        for name, value in row["payload"].items():
            is_list = isinstance(value, list)
            payload[name] = [*payload.get(name, ()), *value][-NEWEST:] if is_list else value
    return payload


def _message_from(rows: Sequence[Document]) -> OutboxMessage:
    first = rows[0]
    payload = _payload(rows) if len(rows) > 1 else first["payload"]
    return OutboxMessage(str(first["_id"]), first["kind"], payload, first["tries"] + 1)
