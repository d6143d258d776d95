"""members: one document per person who is in a room, `_id` the person."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict

from pymongo.errors import DuplicateKeyError

from rooms.keeper import Raced, now_ms
from rooms.people import Counts, Member
from rooms.refusals import InUse
from rooms.room import Room
from storage.database import Collection, Database, Document, Session
from storage.loader import Loader
from storage.shared import Shared

NOT_CONNECTED: Document = {"process": None, "socket": 0, "due_at": None, "stream": None}
"""A place as it is taken; storage/presence.py keeps the rest of its life."""


class Members:
    """Membership is what stands here, never a counter; counts are counted."""

    def __init__(self, database: Database) -> None:
        self._members: Collection = database.collection("members")
        self._rooms: Collection = database.collection("rooms")
        self._by_id = Loader(self._members, member_from)
        self._viewers = Shared(self._read_viewers)
        self._counts = Shared(self._count)

    async def make_indexes(self) -> None:
        await self._members.create_index(
            [("live_id", 1), ("epoch", 1), ("gender", 1), ("role", 1), ("entered_at", 1)]
        )

    async def get(self, user_id: str) -> Member | None:
        return await self._by_id.get(user_id)

    async def shared(self, *user_ids: str) -> int | None:
        """The room in one life of which all of them are; None when there is no such room."""
        places = await asyncio.gather(*map(self._by_id.get, user_ids))
        lives = {(place.live_id, place.epoch) if place else None for place in places}
        life = lives.pop()
        return life[0] if life and not lives else None

    async def write(self, room: Room, session: Session | None) -> None:
        """Whatever a change did to places; Raced when one is not what the change saw."""
        for member in room.joined.values():
            await self._put(room, member, session)
        for user_id in room.gone:
            place = room.seen[user_id]
            found = await self._members.delete_one(
                {"_id": user_id, "epoch": place.epoch, "v": place.v}, session=session
            )
            _must(found.deleted_count)
        for user_id in (room.held | room.roles.keys()) - room.gone:
            await self._touch(room, user_id, session)

    async def clear(self, live_id: int, epoch: str) -> None:
        await self._members.delete_many({"live_id": live_id, "epoch": epoch})

    async def set_gender(self, user_id: str, gender: int, session: Session) -> None:
        """InUse while the person is on mic, in the queue or invited in a live room."""
        place = await self._members.find_one({"_id": user_id}, session=session)
        if place is None or place["gender"] == gender:
            return
        if await self._needs_gender(place, session):
            raise InUse
        change = {"$set": {"gender": gender}, "$inc": {"v": 1}}
        await self._members.update_one({"_id": user_id}, change, session=session)

    async def viewers(
        self, live_id: int, epoch: str, gender: int, skip: int, limit: int
    ) -> list[str]:
        """Who of that gender only watches, by time of entry."""
        return await self._viewers.get(live_id, epoch, gender, skip, limit)

    async def _read_viewers(
        self, live_id: int, epoch: str, gender: int, skip: int, limit: int
    ) -> list[str]:
        found = self._members.find(
            {"live_id": live_id, "epoch": epoch, "gender": gender, "role": "viewer"},
            {"_id": 1},
        )
        rows = await found.sort([("entered_at", 1), ("_id", 1)]).skip(skip).to_list(limit)
        return [row["_id"] for row in rows]

    async def everybody(self, live_id: int, epoch: str, after: str, limit: int) -> list[Member]:
        """Who is there, by user_id after that one."""
        where = {"live_id": live_id, "epoch": epoch, "_id": {"$gt": after}}
        rows = await self._members.find(where).sort("_id", 1).to_list(limit)
        return [member_from(row) for row in rows]

    async def count(self, live_id: int, epoch: str) -> Counts:
        """Who is in this life, counted after it was asked for: once for all who come at once."""
        return await self._counts.get(live_id, epoch)

    async def _count(self, live_id: int, epoch: str) -> Counts:
        return (await self.counts([(live_id, epoch)]))[live_id]

    async def counts(self, lives: Iterable[tuple[int, str]]) -> dict[int, Counts]:
        """Who is in these lives (live_id, epoch), counted now."""
        lives = list(lives)
        rooms = {"live_id": {"$in": [n for n, _ in lives]}, "epoch": {"$in": [e for _, e in lives]}}
        key = {"live_id": "$live_id", "gender": "$gender", "role": "$role"}
        rows = await self._members.aggregate(
            [{"$match": rooms}, {"$group": {"_id": key, "n": {"$sum": 1}}}]
        )
        tally: dict[int, dict[str, int]] = {live_id: {} for live_id, _ in lives}
        async for row in rows:
            _count(tally[row["_id"]["live_id"]], row["_id"], row["n"])
        return {live_id: Counts(**numbers) for live_id, numbers in tally.items()}

    async def _needs_gender(self, place: Document, session: Session) -> bool:
        """Whether the room knows them by it: on mic, in the queue, or invited, in its present
        life. An invitation holds the place, so one given meanwhile conflicts with this."""
        life = {"_id": place["live_id"], "epoch": place["epoch"], "status": {"$ne": "ended"}}
        asked = f"applications.{place['_id']}"
        room = await self._rooms.find_one(life, {asked: 1}, session=session)
        return room is not None and (place["role"] != "viewer" or bool(room["applications"]))

    async def _put(self, room: Room, member: Member, session: Session | None) -> None:
        """A new place; one left over from an earlier life of the same room is written over."""
        document = asdict(member)
        document["_id"] = document.pop("user_id")
        document |= {**NOT_CONNECTED, "seen_at": member.entered_at}
        old = room.seen.get(member.user_id)
        if old and old.live_id == room.live_id:
            where = {"_id": member.user_id, "epoch": old.epoch, "v": old.v}
            found = await self._members.replace_one(where, document, session=session)
            _must(found.matched_count)
            return
        try:
            await self._members.insert_one(document, session=session)
        except DuplicateKeyError:
            raise Raced from None

    async def _touch(self, room: Room, user_id: str, session: Session | None) -> None:
        where: Document = {"_id": user_id, "live_id": room.live_id, "epoch": room.epoch}
        if user_id in room.seen:
            where["v"] = room.seen[user_id].v
        change: Document = {"$inc": {"v": 1}}
        if user_id in room.roles:
            change |= _new_role(room, user_id, now_ms())
        found = await self._members.update_one(where, change, session=session)
        if user_id in room.seen:
            _must(found.matched_count)


def _new_role(room: Room, user_id: str, now: int) -> Document:
    """Another role, another patience: they are looked at again. Whoever asks for or takes a seat
    gives a sign of life. A new seat knows nothing of an earlier stream."""
    role, place = room.roles[user_id], room.seen.get(user_id)
    fields: Document = {"role": role, "stream": None}
    if role == "viewer" or place is None or place.away_at is None:
        return {"$set": fields, "$min": {"due_at": now}}
    return {"$set": {**fields, "away_at": now, "due_at": now}}


def member_from(document: Document) -> Member:
    """What a later version stores besides is no business of this one."""
    known = {name: document[name] for name in Member.__slots__ if name in document}
    return Member(**{**known, "user_id": document["_id"]})


def _must(matched: int) -> None:
    if not matched:
        raise Raced


_COLUMNS = {1: ("men", "men_applying"), 2: ("women", "women_applying")}


def _count(numbers: dict[str, int], key: Document, n: int) -> None:
    if key["role"] == "host":
        return
    here, applying = _COLUMNS.get(key["gender"], ("others", ""))
    numbers[here] = numbers.get(here, 0) + n
    if key["role"] == "applied":
        numbers[applying] = numbers.get(applying, 0) + n
