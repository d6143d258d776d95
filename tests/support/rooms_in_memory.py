"""RoomStore and MemberStore in memory, with documents as MongoDB stores them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import bson

from core.clock import now_ms
from core.errors import WriteConflict
from rooms.events import NumberedEvent
from rooms.members import Member
from rooms.room import Room
from storage.rooms.rooms import _changes, _stored, room_from
from tests.support.room_builders import STORED, check_payloads

Document = dict[str, Any]
AddWrites = Callable[[Any], None]


class MemoryRoomStore:
    """Detects write conflicts like the real stores; all documents pass through BSON."""

    def __init__(self) -> None:
        self.documents: dict[int, Document] = {}
        self.members: dict[str, Member] = {}

    def add(self, room: Room) -> None:
        names = STORED - {"live_id", "members"}
        document = {name: _stored(getattr(room, name)) for name in names}
        self.documents[room.live_id] = document | {"_id": room.live_id, "log": {}}

    def read(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        """The room with the memberships of `user_ids` only."""
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
        document = self.documents[room.live_id]
        changes = bson.decode(bson.encode(_changes(room, events)))
        stored = (document["epoch"], document["version"], document["group_id"])
        if changes and stored != (*room.loaded, room.loaded_group):
            raise WriteConflict
        members = {user: self.members.get(user) for user in (*room.joined, *room.gone)}
        if any(member != room.seen.get(user) for user, member in members.items()):
            raise WriteConflict
        if any(member and member.live_id != room.live_id for member in members.values()):
            raise WriteConflict
        touched = (room.guarded | room.roles.keys()) - room.gone - room.joined.keys()
        if any(self.members.get(user) != room.seen[user] for user in touched & room.seen.keys()):
            raise WriteConflict
        update(document, changes)
        self.members |= room.joined
        for user in room.gone:
            del self.members[user]
        for user in touched:
            if member := self.members.get(user):
                role = room.roles.get(user, member.role)
                self.members[user] = replace(member, role=role, v=member.v + 1)

    async def load(self, live_id: int, user_ids: Sequence[str] = ()) -> Room | None:
        return self.read(live_id, user_ids)

    async def save(
        self,
        room: Room,
        events: Sequence[NumberedEvent],
        add_writes: Sequence[AddWrites] = (),
    ) -> None:
        for add in add_writes:
            add("transaction")
        self.write(room, events)

    async def clear(self, live_id: int, epoch: str) -> None:
        self.members = {
            user_id: member
            for user_id, member in self.members.items()
            if (member.live_id, member.epoch) != (live_id, epoch)
        }

    async def membership_of(self, user_id: str) -> Member | None:
        return self.members.get(user_id)


def update(document: Document, changes: Mapping[str, Any]) -> None:
    """Applies $set and $unset; like MongoDB, refuses a path together with its parent."""
    paths = [path for part in changes.values() for path in part]
    assert not any(a != b and b.startswith(f"{a}.") for a in paths for b in paths), paths
    for path, value in changes.get("$set", {}).items():
        *parents, last = path.split(".")
        inner(document, parents)[last] = value
    for path in changes.get("$unset", {}):
        *parents, last = path.split(".")
        inner(document, parents).pop(last, None)


def inner(document: Document, parents: list[str]) -> Document:
    for name in parents:
        document = document.setdefault(name, {})
    return document
