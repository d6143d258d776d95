"""user_channels: one document per user, with the open invitations and the last 64 events."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pymongo import UpdateOne

from core.clock import now_ms
from people.user_events import USER_LOG_SIZE, Invitation
from rooms.events import NewEvent, NumberedEvent
from storage.database import Collection, Database, Document, Session
from storage.documents import change_one, documents_by_id, known_fields
from storage.write_batch import WriteBatch

MAX_SOCKETS = 3
"""Sockets of a user that receive only the user channel: a phone, a tablet and a computer."""
Changed = Callable[[str, Literal["events", "balance", "where"]], None]
"""Receives a user and the part of the user channel that a committed write has changed."""


@dataclass(frozen=True, slots=True)
class UserChannel:
    """A user channel at one version; its epoch lasts as long as the user."""

    user_id: str
    epoch: str
    version: int = 0
    invitations: Mapping[str, Invitation] = field(default_factory=dict)
    sockets: Sequence[int] = ()
    """Numbers of those that receive only this channel, at least the database's time in ms."""


class UserChannelStore:
    """Events of users, each written with the change that it tells of."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._channels: Collection = database.collection("user_channels")
        self.changed = changed
        self._by_id = documents_by_id(self._channels, _channel_from, "log")

    async def create(self, user_id: str) -> UserChannel:
        """Add the channel of a user, unless there is one, and return it."""
        return await self._upsert(user_id, {"$setOnInsert": _new_channel()})

    async def read(self, user_id: str) -> UserChannel:
        """Return the channel of a user, which is created if it is missing."""
        return await self._by_id.get(user_id) or await self.create(user_id)

    async def _upsert(self, user_id: str, change: Document | list[Document]) -> UserChannel:
        where, fields = {"_id": user_id}, {"log": 0}
        row = await change_one(self._channels, where, change, upsert=True, fields=fields)
        assert row is not None
        return _channel_from(row)

    # ---- events

    async def add(self, user_id: str, event: NewEvent, session: Session) -> None:
        """Add an event in the transaction of the change that it tells of.

        Without a channel there is no client that could miss it, and the first snapshot has its
        effect.
        """
        await self._channels.update_one({"_id": user_id}, _append(event), session=session)
        self._database.after_commit(session, partial(self.changed, user_id, "events"))

    def add_to(self, batch: WriteBatch, user_id: str, event: NewEvent) -> None:
        """Add an event as `add` does; an invitation, which only the channel has, creates it."""
        if event.type == "invitation":
            batch.upsert("user_channels", {"_id": user_id}, [_with_defaults(), *_append(event)])
        else:
            batch.update_if_present("user_channels", {"_id": user_id}, _append(event))
        batch.after_commit.append(partial(self.changed, user_id, "events"))

    async def log_since(self, user_id: str, epoch: str, seq: int) -> Sequence[NumberedEvent] | None:
        """Return all events after `seq`, in order; None if the log lacks some or was emptied."""
        fields = {"epoch": 1, "version": 1, "log": 1}
        row = await self._channels.find_one({"_id": user_id}, fields)
        if row is None or row["epoch"] != epoch:
            return None
        version: int = row["version"]
        if not max(0, version - USER_LOG_SIZE) <= seq <= version:
            return None
        rows = [row["log"][n % USER_LOG_SIZE] for n in range(seq, version)]
        if any(event["data"] is None for event in rows):
            return None
        return [
            NumberedEvent(epoch, event["seq"], event["ts"], event["type"], event["data"])
            for event in rows
        ]

    async def versions(self, user_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Return (epoch, version) by user_id, in one query."""
        fields = {"epoch": 1, "version": 1}
        found = self._channels.find({"_id": {"$in": list(user_ids)}}, fields)
        return {row["_id"]: (row["epoch"], row["version"]) async for row in found}

    # ---- sockets

    async def open_socket(self, user_id: str, process: str) -> UserChannel:
        """Register a new socket, the last of `sockets`, in place of the oldest of MAX_SOCKETS.

        `served` has the same with their processes: a process that is killed frees no place.
        """
        sockets = {"$ifNull": ["$sockets", []]}
        last = {"$ifNull": [{"$last": sockets}, 0]}
        number = {"$max": [{"$add": [last, 1]}, {"$toLong": "$$NOW"}]}
        opened = {"$slice": [{"$concatArrays": [sockets, [number]]}, -MAX_SOCKETS]}
        new = {"number": {"$last": "$sockets"}, "process": process}
        others = {"$ifNull": ["$served", []]}
        served = {"$slice": [{"$concatArrays": [others, [new]]}, -MAX_SOCKETS]}
        steps = [_with_defaults(), {"$set": {"sockets": opened}}, {"$set": {"served": served}}]
        return await self._upsert(user_id, steps)

    async def close_sockets(self, sockets: Sequence[tuple[str, int]]) -> None:
        """Free the places of closed sockets (user_id, number)."""
        updates = [
            UpdateOne({"_id": user_id}, {"$pull": {"sockets": n, "served": {"number": n}}})
            for user_id, n in sockets
        ]
        await self._channels.bulk_write(updates, ordered=False)

    async def processes(self, user_ids: Sequence[str]) -> dict[str, set[str]]:
        """Return the processes that serve these users' sockets, or did so when they were killed."""
        where = {"_id": {"$in": list(user_ids)}, "served": {"$gt": []}}
        found = self._channels.find(where, {"served.process": 1})
        return {row["_id"]: {at["process"] for at in row["served"]} async for row in found}


def _new_channel() -> Document:
    return {"epoch": secrets.token_hex(8), "version": 0, "log": [], "invitations": {}}


def _with_defaults() -> Document:
    """Return the step of an update that makes the fields of a missing channel."""
    new = _new_channel().items()
    return {"$set": {name: {"$ifNull": [f"${name}", value]} for name, value in new}}


def _channel_from(row: Document) -> UserChannel:
    return UserChannel(**{**known_fields(UserChannel, row), "user_id": row["_id"]})


def _append(event: NewEvent) -> list[Document]:
    """Return the update that numbers an event, stores it, and folds it into the invitations.

    The log is a ring in an array. The update replaces one element, and MongoDB's oplog has only
    that: a `$push` with `$slice` would move all of them.
    """
    number = {"$add": ["$version", 1]}
    size = {"$min": [number, USER_LOG_SIZE]}
    row = {
        "seq": number,
        "ts": now_ms(),
        "type": {"$literal": event.type},
        "data": {"$literal": dict(event.data)},
    }
    is_slot = {"$eq": ["$$this", {"$mod": ["$version", USER_LOG_SIZE]}]}
    kept = {"$arrayElemAt": ["$log", "$$this"]}
    log = {"$map": {"input": {"$range": [0, size]}, "in": {"$cond": [is_slot, row, kept]}}}
    steps: list[Document] = [{"$set": {"log": log, "version": number}}]
    name: Any = f"invitations.{event.data.get('invitation_id')}"
    if event.type == "invitation":
        steps.append({"$set": {name: {"$literal": dict(event.data)}}})
    elif event.type == "invitation_end":
        steps.append({"$unset": name})
    return steps
