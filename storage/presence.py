"""members and processes: whose connection stands, through which process, and which process lives.

`process` is who serves a member, `socket` counts their sockets, `away_at` and `due_at` (ms) say
since when they are gone and when something is next to come of it. Leases go by the database's
clock, which all processes share.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import ReturnDocument, UpdateOne

from rooms.people import ON_MIC
from rooms.presence import Connection, Due, Patience, Place
from storage.database import Collection, Database, Document

CLAIM_MS = 5_000
"""How long a due member is one process's business, before another one looks after them."""
SEEN_MS = 60_000
"""Signs of life closer than this to each other are not worth a write."""


class Presences:
    def __init__(self, database: Database, patience: Patience) -> None:
        self._members: Collection = database.collection("members")
        self._processes: Collection = database.collection("processes")
        self._patience = patience

    async def make_indexes(self) -> None:
        await self._members.create_index("due_at", partialFilterExpression={"due_at": {"$gt": 0}})
        await self._members.create_index([("process", 1), ("seen_at", 1)])

    # ---- members and their sockets

    async def arrive(self, user_id: str, live_id: int, epoch: str, process: str, now: int) -> int:
        """A socket of a member opens: its number; 0 when they are no member of this life."""
        place = await self._members.find_one_and_update(
            {"_id": user_id, "live_id": live_id, "epoch": epoch},
            {
                "$set": {"process": process, "away_at": None, "due_at": None, "seen_at": now},
                "$inc": {"socket": 1, "v": 1},
            },
            projection={"socket": 1},
            return_document=ReturnDocument.AFTER,
        )
        return place["socket"] if place else 0

    async def part(self, gone: Sequence[Connection]) -> None:
        """Sockets have closed; whoever has opened a newer one is not away."""
        if gone:
            changes = [UpdateOne(_of(it), self._away(it.at)) for it in gone]
            await self._members.bulk_write(changes, ordered=False)

    async def stamp(self, here: Sequence[Connection], process: str) -> None:
        """These sockets stand, whatever others think (this process was taken for dead)."""
        if here:
            fresh = {"process": process, "away_at": None, "due_at": None}
            change = {"$set": fresh, "$inc": {"v": 1}}
            changes = [UpdateOne(_of(it), change) for it in here]
            await self._members.bulk_write(changes, ordered=False)

    async def seen(self, user_id: str, now: int) -> bool:
        """A sign of life without a socket: whoever lost one has their time anew, whoever never
        had one and was away is back (True)."""
        lost_one = {"$and": [{"$ne": ["$away_at", None]}, {"$gt": ["$socket", 0]}]}
        fresh = {
            "seen_at": now,
            "away_at": {"$cond": [lost_one, now, None]},
            "due_at": {"$cond": [lost_one, _due(now, self._patience), None]},
            "v": {"$add": ["$v", 1]},
        }
        worth_it = [{"away_at": {"$ne": None}}, {"seen_at": {"$lt": now - SEEN_MS}}]
        before = await self._members.find_one_and_update(
            {"_id": user_id, "process": None, "$or": worth_it}, [{"$set": fresh}]
        )
        if before is None or before.get("away_at") is None:
            return False
        return not before.get("socket", 0)

    async def standing(self, user_ids: Sequence[str]) -> dict[str, tuple[int, str, int]]:
        """(live_id, epoch, number of the newest socket) by user_id."""
        found = self._members.find(
            {"_id": {"$in": list(user_ids)}}, {"live_id": 1, "epoch": 1, "socket": 1}
        )
        return {it["_id"]: (it["live_id"], it["epoch"], it.get("socket", 0)) async for it in found}

    async def on_mic(self, process: str) -> dict[str, int]:
        """Who is on mic and served by this process, in which room (user_id -> live_id)."""
        where = {"process": process, "role": {"$in": list(ON_MIC)}}
        found = self._members.find(where, {"live_id": 1})
        return {row["_id"]: row["live_id"] async for row in found}

    # ---- what is due

    async def claim(self, now: int) -> Due | None:
        """Somebody whose absence is to be looked at, ours for CLAIM_MS."""
        row = await self._members.find_one_and_update(
            {"due_at": {"$gt": 0, "$lte": now}},
            {"$set": {"due_at": now + CLAIM_MS}},
            sort=[("due_at", 1)],
        )
        if row is None:
            return None
        streams = bool((row.get("stream") or {}).get("on"))
        return Due(row["_id"], row["live_id"], row["epoch"], streams, now + CLAIM_MS)

    async def again(self, due: Due, at: int | None) -> None:
        """Look at them again then; None: there is nothing to await. Whatever has come of them
        since the claim has set a time of its own, which stays."""
        where = {"_id": due.user_id, "live_id": due.live_id, "epoch": due.epoch}
        await self._members.update_one({**where, "due_at": due.claim}, {"$set": {"due_at": at}})

    async def drop(self, due: Due) -> None:
        """A place in a life that is over."""
        where = {"_id": due.user_id, "live_id": due.live_id, "epoch": due.epoch}
        await self._members.delete_one(where)

    async def miss_silent(self, before: int, now: int) -> None:
        """Whoever has no socket and was not heard of since `before` is away."""
        where = {"process": None, "away_at": None, "seen_at": {"$lte": before}}
        await self._members.update_many(where, self._away(now))

    # ---- what Tencent says of people without a socket

    async def find(self, user_id: str) -> Place | None:
        row = await self._members.find_one({"_id": user_id})
        if row is None:
            return None
        served, away = row.get("socket", 0) > 0, row.get("away_at") is not None
        return Place(row["live_id"], row["epoch"], row["role"], served, away, row.get("stream"))

    async def hear(
        self, user_id: str, place: Place, *, here: bool, now: int, said_at: int | None = None
    ) -> bool:
        """Somebody without a socket has gone or come back; False when something later than
        `said_at` (ms) was heard already, or the place is another by now."""
        where = {"_id": user_id, "live_id": place.live_id, "epoch": place.epoch}
        where["socket"] = {"$in": [0, None]}
        set_: Document = {"seen_at": now, "v": {"$add": ["$v", 1]}}
        if said_at is not None:
            where["$or"] = [{"heard_at": None}, {"heard_at": {"$lt": said_at}}]
            set_["heard_at"] = said_at
        if here:
            set_ |= {"away_at": None, "due_at": None}
        elif not place.away:
            set_ |= {"away_at": now, "due_at": _due(now, self._patience)}
        changed = await self._members.update_one(where, [{"$set": set_}])
        return bool(changed.matched_count)

    async def note_stream(
        self, user_id: str, place: Place, stream: dict[str, Any], now: int
    ) -> bool:
        """Keep what is known of their stream; False when somebody else was faster. An end is
        looked at anew: it may be all that their seat was still waiting for."""
        where = {"_id": user_id, "live_id": place.live_id, "epoch": place.epoch}
        change: Document = {"$set": {"stream": stream}}
        if not stream["on"]:
            change["$min"] = {"due_at": now}
        changed = await self._members.update_one({**where, "stream": place.stream}, change)
        return bool(changed.matched_count)

    # ---- processes

    async def renew(self, process: str, seconds: float) -> bool:
        """This process lives for so much longer; False when it was not known (any more)."""
        until = {"$add": ["$$NOW", int(seconds * 1000)]}
        before = await self._processes.find_one_and_update(
            {"_id": process}, [{"$set": {"expires_at": until}}], upsert=True
        )
        return before is not None

    async def lapsed(self) -> list[str]:
        """Processes that have not been heard of within their lease."""
        found = self._processes.find({"$expr": {"$lt": ["$expires_at", "$$NOW"]}}, {"_id": 1})
        return [row["_id"] async for row in found]

    async def bury(self, process: str, now: int) -> int:
        """Whoever a process served is away; how many. The last step forgets the process."""
        change = self._away(now)
        found = await self._members.update_many({"process": process}, change)
        await self._processes.delete_one({"_id": process})
        return found.modified_count

    def _away(self, at: int) -> list[Document]:
        away = {"process": None, "away_at": at, "due_at": _due(at, self._patience)}
        return [{"$set": {**away, "v": {"$add": ["$v", 1]}}}]


def _of(socket: Connection) -> Document:
    return {
        "_id": socket.user_id,
        "live_id": socket.live_id,
        "epoch": socket.epoch,
        "socket": socket.number,
    }


def _due(at: int, patience: Patience) -> Document:
    """When something first comes of an absence, which is for the role to say."""
    on_mic = {"$in": ["$role", list(ON_MIC)]}
    return {"$cond": [on_mic, at + patience.shown, at + patience.viewer]}
