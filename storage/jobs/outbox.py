"""outbox: the persistent outbox of calls to Tencent that no request waits for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, Self

from bson import ObjectId

from core.batching import RequestBatcher
from storage.database import Collection, Database, Document, Session
from storage.documents import make_partial_index
from storage.jobs.due import claim_unchanged
from storage.write_batch import WriteBatch

ENSURE_GROUP, REPLACE_GROUP = "ensure_group", "replace_group"
MUTE_AGAIN = "mute_again"  # in a new group
RENEW_STREAMS, RENEW_GROUP = "renew_streams", "renew_group"  # of a private live
GROUP_KINDS = (ENSURE_GROUP, REPLACE_GROUP, MUTE_AGAIN)
LIVE_STREAMING_KINDS = ("drop_stream", "forbid_stream")
"""Kinds of messages with lanes of their own."""
NORMAL, URGENT, LATER = "due", "urgent", "later"
"""`state` of a waiting message, which is its lane: a full one does not delay the others. Messages
of LATER may wait for a month, and count as no backlog."""
DELETE_OBJECT = "delete_object"
"""Kind of the message of LATER that deletes an object at COS. Every picture has one."""
NEWEST = 8
"""Values that a message keeps of each of its lists."""
LOOKAHEAD = 100
"""Due messages that a claim reads, to join those of one key."""
FAILED_KEPT = timedelta(days=30)
"""Time to find out why Tencent has rejected a call."""
MAX_DONE = 100
"""Messages deleted by one command."""

Listener = tuple[Document, Callable[[], None]]
"""Kinds of urgent messages, and what is called after the commit of one."""


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
        self,
        database: Database,
        where: Document | None = None,
        listeners: list[Listener] | None = None,
    ) -> None:
        """Create the queue, or a view of it.

        `where` selects the messages that `claim` takes; all views share the `listeners`.
        """
        self._database = database
        self._messages: Collection = database.collection("outbox")
        self._done: RequestBatcher[str, None] = RequestBatcher(self._delete, MAX_DONE)
        self._where = where or {"state": NORMAL}
        self._listeners = [] if listeners is None else listeners

    def view(self, lane: str, *, only: Sequence[str] = (), without: Sequence[str] = ()) -> Self:
        """Return a view of the queue that claims messages of one lane, and only some kinds.

        An unresponsive service then does not delay the messages of another.
        """
        kinds: Document = {"$in": [*only]} if only else {"$nin": [*without]}
        return type(self)(self._database, {"state": lane, "kind": kinds}, self._listeners)

    def on_urgent(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after each commit of an urgent message that this view claims."""
        if self._where["state"] == URGENT:
            self._listeners.append((self._where["kind"], wake))

    def _wake(self, kind: str) -> None:
        for kinds, wake in self._listeners:
            if kind in kinds.get("$in", (kind,)) and kind not in kinds.get("$nin", ()):
                wake()

    async def make_indexes(self) -> None:
        await self._messages.create_index([("state", 1), ("due_at", 1)])
        await self._messages.create_index("expires_at", expireAfterSeconds=0)
        await make_partial_index(self._messages, "key", "")

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

        Messages of one kind, key and lane are joined at their first claim, if they are among the
        first LOOKAHEAD due ones and have a `key`. A message that exists is not written to, which
        could conflict with its claim.
        """
        row = _new_row(kind, payload, URGENT if urgent else NORMAL, key)
        await self._messages.insert_one(row, session=session)
        if urgent and session:
            self._database.after_commit(session, partial(self._wake, kind))
        elif urgent:
            self._wake(kind)

    async def add_once(self, kind: str, payload: dict[str, Any], key: str) -> None:
        """Queue as `add` does, unless a message of this kind and key waits for its first claim."""
        row = _new_row(kind, payload, NORMAL, key)
        waiting = {name: row[name] for name in ("key", "kind", "state", "tries")}
        await self._messages.update_one(waiting, {"$setOnInsert": row}, upsert=True)

    async def add_later(
        self, kind: str, payload: dict[str, Any], delay: timedelta, session: Session | None = None
    ) -> None:
        """Queue a message for the lane LATER, due after `delay`."""
        await self._messages.insert_one(
            _new_row(kind, payload, LATER, delay=delay), session=session
        )

    async def add_urgent(self, kind: str, payloads: Mapping[str, dict[str, Any]]) -> None:
        """Queue many messages for the urgent lane, by their keys."""
        rows = [_new_row(kind, payload, URGENT, key) for key, payload in payloads.items()]
        if rows:
            await self._messages.insert_many(rows)
            self._wake(kind)

    def add_to(
        self,
        batch: WriteBatch,
        kind: str,
        payload: dict[str, Any],
        *,
        urgent: bool = False,
        key: str = "",
    ) -> None:
        """Add a message, as `add` does, to writes that are committed together."""
        batch.insert("outbox", _new_row(kind, payload, URGENT if urgent else NORMAL, key))
        if urgent:
            batch.after_commit.append(partial(self._wake, kind))

    def add_deletion_to(self, batch: WriteBatch, key: str, delay: timedelta) -> None:
        """Add the deletion of an object at COS after `delay` to writes of one commit."""
        batch.insert("outbox", _new_row(DELETE_OBJECT, {"key": key}, LATER, delay=delay))

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[OutboxMessage]:
        """Lease at most `limit` due messages until `until`, the earliest first, and count the try.

        Messages of one kind and key that wait for their first claim become one, with the payload of
        the last, and of lists the NEWEST last values of all.
        """
        where = {**self._where, "due_at": {"$lte": now}}
        rows = await self._messages.find(where).sort("due_at", 1).limit(LOOKAHEAD).to_list()
        joined = _joined(sorted(rows, key=itemgetter("due_at", "_id")))[:limit]
        if not joined:
            return []
        updates: list[tuple[Document, Document]] = []
        for first, *others in joined:
            as_read = {name: first[name] for name in ("_id", "state", "due_at", "tries")}
            fields: Document = {"due_at": until}
            if others:
                fields["payload"] = first["payload"] = _joined_payload([first, *others])
            updates.append((as_read, {"$set": fields, "$inc": {"tries": 1}}))
        claimed = await claim_unchanged(self._messages, updates)
        joined = [rows for rows in joined if rows[0]["_id"] in claimed]
        if merged := [row["_id"] for rows in joined for row in rows[1:]]:
            # Unless another process has claimed it after it was read.
            await self._messages.delete_many({"_id": {"$in": merged}, "tries": 0})
        return [
            OutboxMessage(str(row["_id"]), row["kind"], row["payload"], row["tries"] + 1)
            for row, *_ in joined
        ]

    async def mark_done(self, message_id: str) -> None:
        await self._done.submit(0, message_id)

    async def reschedule(self, message_id: str, at: datetime, why: str) -> None:
        await self._set(message_id, due_at=at, why=why)

    async def mark_failed(self, message_id: str, why: str) -> None:
        """Keep the message for inspection, for FAILED_KEPT; it is never tried again."""
        expires_at = datetime.now(UTC) + FAILED_KEPT
        await self._set(message_id, state="failed", why=why, expires_at=expires_at)

    async def oldest(self) -> datetime | None:
        """Return when the oldest message of both lanes was added, a claimed one included."""
        waiting = {"state": {"$in": [NORMAL, URGENT]}}
        row = await self._messages.find_one(waiting, {"_id": 1}, sort=[("_id", 1)])
        return row["_id"].generation_time if row else None

    async def _delete(self, _name: int, message_ids: Sequence[str]) -> list[None]:
        await self._messages.delete_many({"_id": {"$in": [*map(ObjectId, message_ids)]}})
        return [None] * len(message_ids)

    async def _set(self, message_id: str, **fields: Any) -> None:
        await self._messages.update_one({"_id": ObjectId(message_id)}, {"$set": fields})


def _new_row(
    kind: str, payload: Document, lane: str, key: str = "", delay: timedelta = timedelta()
) -> Document:
    due_at = datetime.now(UTC) + delay
    row = {"kind": kind, "state": lane, "tries": 0, "payload": payload, "due_at": due_at}
    return {**row, "key": key} if key else row


def _joined(rows: Iterable[Document]) -> list[list[Document]]:
    """Return messages in their order, each with those that it is to be joined with."""
    joined: dict[Any, list[Document]] = {}
    for row in rows:
        alone = row["tries"] or "key" not in row
        name = row["_id"] if alone else (row["kind"], row["key"])
        joined.setdefault(name, []).append(row)
    return [*joined.values()]


def _joined_payload(rows: Iterable[Document]) -> Document:
    """Return the payload of the last message, with the lists of all."""
    payload: Document = {}
    for row in rows:
        for name, value in row["payload"].items():
            values = [*payload.get(name, ()), *value] if isinstance(value, list) else ()
            payload[name] = [*dict.fromkeys(values)][-NEWEST:] if values else value
    return payload
