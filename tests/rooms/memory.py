"""The keeper's store in memory: documents as MongoDB has them, and the places of people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import bson

from rooms.events import Numbered
from rooms.keeper import Also, Raced
from rooms.people import Member
from rooms.room import Room
from storage.rooms import _changes, room_from

Document = dict[str, Any]


class Memory:
    """Guards like the real one; what it keeps has been through BSON."""

    def __init__(self) -> None:
        self.documents: dict[int, Document] = {}
        self.places: dict[str, Member] = {}

    def add(self, room: Room) -> None:
        names = ("group_id", "cover", "epoch", "version", "status", "started_at", "applications")
        document = {name: getattr(room, name) for name in (*names, "blocked")}
        document |= {"_id": room.live_id, "owner": asdict(room.owner), "log": {}}
        self.documents[room.live_id] = document | {"male": None, "female": None}

    def read(self, live_id: int, people: Sequence[str] = ()) -> Room | None:
        """With the places of `people` and of nobody else."""
        if live_id not in self.documents:
            return None
        kept = bson.decode(bson.encode(self.documents[live_id]))
        room = room_from(kept)
        return replace(room, members={w: self.places[w] for w in people if w in self.places})

    def write(self, room: Room, told: Sequence[Numbered]) -> None:
        kept = self.documents[room.live_id]
        changes = bson.decode(bson.encode(_changes(room, told)))
        if changes and (kept["epoch"], kept["version"]) != room.loaded:
            raise Raced
        places = {who: self.places.get(who) for who in (*room.joined, *room.gone)}
        if any(place != room.seen.get(who) for who, place in places.items()):
            raise Raced
        if any(place and place.live_id != room.live_id for place in places.values()):
            raise Raced
        touched = (room.held | room.roles.keys()) - room.gone
        if any(self.places.get(who) != room.seen[who] for who in touched & room.seen.keys()):
            raise Raced
        update(kept, changes)
        self.places |= room.joined
        for who in room.gone:
            del self.places[who]
        for who in touched:
            if place := self.places.get(who):
                role = room.roles.get(who, place.role)
                self.places[who] = replace(place, role=role, v=place.v + 1)

    async def load(self, live_id: int, people: Sequence[str] = ()) -> Room | None:
        return self.read(live_id, people)

    async def save(self, room: Room, told: Sequence[Numbered], also: Also | None) -> None:
        if also:
            await also("transaction", room)
        self.write(room, told)

    async def clear(self, live_id: int, epoch: str) -> None:
        life = (live_id, epoch)
        self.places = {w: p for w, p in self.places.items() if (p.live_id, p.epoch) != life}

    async def place_of(self, user_id: str) -> Member | None:
        return self.places.get(user_id)


def update(document: Document, changes: Mapping[str, Any]) -> None:
    """$set and $unset as MongoDB does them; it refuses a path and its parent in one update."""
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
