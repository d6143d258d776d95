"""Rooms and members in memory, which execute the batches that are written to MongoDB."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import bson

from core.clock import now_ms
from core.errors import WriteConflict
from rooms.events import NumberedEvent
from rooms.members import Member
from rooms.room import Room
from storage.documents import document_of, fields_of
from storage.rooms.members import member_from
from storage.rooms.rooms import add_room_writes, room_from
from storage.write_batch import WriteBatch
from tests.support.room_builders import NOW, STORED, check_payloads

Document = dict[str, Any]


class MemoryRoomStore:
    """The stores of a RoomChanges. Executes guarded writes as MongoDB does, all through BSON.

    Each save first runs the next of `before_save`, which another process does at this moment.
    """

    def __init__(self) -> None:
        self.documents: dict[int, Document] = {}
        self.members: dict[str, Member] = {}
        self.before_save: Iterator[Callable[[], None] | None] = iter(())
        self.calls: list[tuple[Any, ...]] = []
        """Saves, and ends of lives."""
        self.loads = 0
        self.saving: list[tuple[int, int]] = []
        """(live_id, seq) of the events that are saved next, seq 0 without one."""
        self.stores = SimpleNamespace(rooms=self, members=self, summaries=self)

    def add(self, room: Room) -> None:
        """Store a room that has never been live."""
        owner = {**fields_of(room.owner), "person": fields_of(room.owner.person)}
        names = STORED - {"live_id", "members", "owner"}
        document = {name: getattr(room, name) for name in names}
        self.documents[room.live_id] = document | {
            "_id": room.live_id,
            "owner": owner,
            "log": {},
            "dates": [],
        }

    def read(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        """The room with the members of `user_ids` only."""
        if live_id not in self.documents:
            return None
        document = self.documents[live_id] | {"read_at": now_ms()}
        room = room_from(bson.decode(bson.encode(document)))
        members = {
            user_id: self.members[user_id] for user_id in user_ids if user_id in self.members
        }
        return replace(room, members=members)

    def write(self, room: Room, events: Sequence[NumberedEvent]) -> None:
        check_payloads(events)
        batch = WriteBatch()
        add_room_writes(room, events, batch)
        self.execute(batch)

    def execute(self, batch: WriteBatch) -> None:
        """Write all of the batch, or nothing if a guard does not match."""
        rows: dict[str, dict[Any, Document]] = {
            "rooms": {id_: bson.decode(bson.encode(row)) for id_, row in self.documents.items()},
            "members": {id_: document_of(row, "user_id") for id_, row in self.members.items()},
        }
        for (collection, kind, is_guarded), writes in batch.writes.items():
            for write in writes:
                written = execute(rows[collection], kind, bson.decode(bson.encode(write)))
                if is_guarded and not written:
                    raise WriteConflict
        self.documents = rows["rooms"]
        self.members = {id_: member_from(row) for id_, row in rows["members"].items()}

    def change(self, live_id: int, rule: Callable[[Room], Any], *user_ids: str) -> None:
        """A change by another process, which is not recorded."""
        room = self.read(live_id, user_ids)
        assert room is not None
        rule(room)
        self.write(room, room.numbered(NOW))

    async def load(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        self.loads += 1
        await asyncio.sleep(0)
        return self.read(live_id, user_ids)

    async def follow(self, room: Room, events: Sequence[NumberedEvent], _batch: Any) -> None:
        """A consequence, which notes what `commit` saves next."""
        check_payloads(events)
        self.saving = [(room.live_id, event.seq) for event in events] or [(room.live_id, 0)]

    async def commit(self, batch: WriteBatch) -> None:
        saving = self.saving
        await asyncio.sleep(0)
        if act := next(self.before_save, None):
            act()
        self.execute(batch)
        self.calls.append(("save", saving[0][0], *(seq for _, seq in saving if seq)))

    async def complete(self, live_id: int, epoch: str) -> None:
        """Nothing is summarized."""

    async def clear(self, live_id: int, epoch: str) -> None:
        self.members = {
            user_id: member
            for user_id, member in self.members.items()
            if (member.live_id, member.epoch) != (live_id, epoch)
        }
        self.calls.append(("clear", live_id, epoch))

    async def numbers(self, live_id: int) -> dict[str, int]:
        await asyncio.sleep(0)
        epochs = [member.epoch for member in self.members.values() if member.live_id == live_id]
        return {epoch: epochs.count(epoch) for epoch in epochs}

    async def get(self, user_id: str) -> Member | None:
        await asyncio.sleep(0)
        return self.members.get(user_id)


def execute(rows: dict[Any, Document], kind: str, write: Document) -> bool:
    """Execute a write of a batch; returns whether it found its document, or inserted one."""
    if kind == "insert":
        is_new = write["_id"] not in rows
        rows.setdefault(write["_id"], write)
        return is_new
    row = rows.get(write["q"]["_id"])
    if row is None or not all(matches(row.get(name), want) for name, want in write["q"].items()):
        return False
    if kind == "delete":
        del rows[write["q"]["_id"]]
    elif any(name.startswith("$") for name in write["u"]):
        update(row, write["u"])
    else:
        rows[write["q"]["_id"]] = write["u"]
    return True


def matches(value: Any, want: Any) -> bool:
    return value in want["$in"] if isinstance(want, dict) else bool(value == want)


def update(document: Document, changes: Mapping[str, Any]) -> None:
    """Apply $set, $unset and $inc; like MongoDB, refuse a path together with its parent."""
    assert changes.keys() <= {"$set", "$unset", "$inc", "$min"}, changes
    paths = [path for part in changes.values() for path in part]
    assert not any(a != b and b.startswith(f"{a}.") for a in paths for b in paths), paths
    for path, value in changes.get("$set", {}).items():
        *parents, last = path.split(".")
        inner(document, parents)[last] = value
    for path in changes.get("$unset", {}):
        *parents, last = path.split(".")
        inner(document, parents).pop(last, None)
    for name, amount in changes.get("$inc", {}).items():
        document[name] += amount


def inner(document: Document, parents: list[str]) -> Document:
    for name in parents:
        if isinstance(document, list):
            document += [{}] if int(name) == len(document) else []
            document = document[int(name)]
        else:
            document = document.setdefault(name, {})
    return document
