"""members and processes: whose connection stands, through which process, and which process lives.

`process` is who serves a member, `socket` the number of their newest socket, `away_at` and `due_at`
(ms) say since when they are gone and when something is next to come of it. Leases go by the
database's clock, which all processes share.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import ReturnDocument, UpdateOne

from rooms.people import ON_MIC
from rooms.presence import Arrival, Connection, Due, Patience, Place, Standing
from storage.database import Collection, Database, Document

CLAIM_MS = 5_000
"""How long a due member is one process's business, before another one looks after them."""
KEPT_SECONDS = 3_600
"""A lease that lapsed so long ago says nothing to anybody."""
AT_ONCE = 500
"""Places written by one command, well within the time that one may take."""
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
        await self._processes.create_index("expires_at", expireAfterSeconds=KEPT_SECONDS)

    # ---- members and their sockets

    async def arrive(self, user_id: str, live_id: int, process: str, now: int) -> Arrival | None:
        """A socket of a member opens; None when they have no place in this room.

        Its number is higher than that of any socket they have had in this room, also before they
        left it and came back: at least the database's time in ms.
        """
        next_one = {"$add": [{"$ifNull": ["$socket", 0]}, 1]}
        stamp = self._here(process, now)
        stamp["socket"] = {"$max": [next_one, {"$toLong": "$$NOW"}]}
        place = await self._members.find_one_and_update(
            {"_id": user_id, "live_id": live_id},
            [{"$set": stamp}],
            projection={"socket": 1, "epoch": 1, "role": 1},
            return_document=ReturnDocument.AFTER,
        )
        return Arrival(place["epoch"], place["role"], int(place["socket"])) if place else None

    async def part(self, gone: Sequence[Connection]) -> None:
        """Sockets have closed; whoever has opened a newer one is not away."""
        if gone:
            changes = [UpdateOne(_of(it), self._away(it.at)) for it in gone]
            await self._members.bulk_write(changes, ordered=False)

    async def stamp(self, here: Sequence[Connection], process: str, now: int) -> None:
        """These sockets stand, whatever others think (this process was taken for dead)."""
        for start in range(0, len(here), AT_ONCE):
            change = [{"$set": self._here(process, now)}]
            some = [UpdateOne(_of(it), change) for it in here[start : start + AT_ONCE]]
            await self._members.bulk_write(some, ordered=False)

    async def served(self, process: str) -> list[Connection]:
        """The sockets that stand as served by this process."""
        found = self._members.find({"process": process}, {"live_id": 1, "epoch": 1, "socket": 1})
        return [
            Connection(it["_id"], it["live_id"], it["epoch"], int(it["socket"]))
            async for it in found
        ]

    async def seen(self, user_id: str, now: int) -> bool:
        """A sign of life without a socket: whoever lost one has their time anew, whoever never
        had one and was away is back (True)."""
        lost_one = {"$and": [{"$ne": ["$away_at", None]}, {"$gt": ["$socket", 0]}]}
        fresh = {
            "seen_at": now,
            "away_at": {"$cond": [lost_one, now, None]},
            "due_at": {"$cond": [lost_one, _due(now, self._patience), _shown_back(now)]},
            "v": {"$add": ["$v", 1]},
        }
        worth_it = [{"away_at": {"$ne": None}}, {"seen_at": {"$lt": now - SEEN_MS}}]
        before = await self._members.find_one_and_update(
            {"_id": user_id, "process": None, "$or": worth_it}, [{"$set": fresh}]
        )
        if before is None or before.get("away_at") is None:
            return False
        return not before.get("socket", 0)

    async def standing(self, user_ids: Sequence[str]) -> dict[str, Standing]:
        """Where these people are, by user_id."""
        names = {"live_id": 1, "epoch": 1, "socket": 1, "process": 1}
        found = self._members.find({"_id": {"$in": list(user_ids)}}, names)
        return {
            it["_id"]: Standing(
                it["live_id"], it["epoch"], int(it.get("socket", 0)), it.get("process")
            )
            async for it in found
        }

    async def on_mic(self, process: str) -> list[str]:
        """Who is on mic and served by this process."""
        found = self._members.find({"process": process, "role": {"$in": list(ON_MIC)}}, {"_id": 1})
        return [row["_id"] async for row in found]

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
        return Place(
            row["live_id"],
            row["epoch"],
            row["role"],
            served,
            away,
            row["entered_at"],
            row.get("stream"),
        )

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
            set_ |= {"away_at": None, "due_at": _shown_back(now)}
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
        """This process lives for so much longer; False when others may take it for dead, since it
        had no lease (any more)."""
        renewed = {
            "held": {"$gte": ["$expires_at", "$$NOW"]},  # what is not there is below any time
            "expires_at": {"$add": ["$$NOW", int(seconds * 1000)]},
        }
        lease = await self._processes.find_one_and_update(
            {"_id": process},
            [{"$set": renewed}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return bool(lease and lease["held"])

    async def lapsed(self) -> list[str]:
        """Processes that people stand as served by, and that have no lease (any more)."""
        # In this order: a process has a lease before it serves anybody.
        serving = await self._members.distinct("process", {"process": {"$gt": ""}})
        good = self._processes.find({"$expr": {"$gte": ["$expires_at", "$$NOW"]}}, {"_id": 1})
        alive = {row["_id"] async for row in good}
        return [process for process in serving if process not in alive]

    async def bury(self, process: str, now: int) -> int:
        """Whoever a process served is away; how many."""
        found = await self._members.update_many({"process": process}, self._away(now))
        return found.modified_count

    async def forget(self, process: str) -> None:
        """Give back a lease."""
        await self._processes.delete_one({"_id": process})

    def _here(self, process: str, now: int) -> Document:
        return {
            "process": process,
            "away_at": None,
            "seen_at": now,
            "due_at": _shown_back(now),
            "v": {"$add": ["$v", 1]},
        }

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


def _shown_back(now: int) -> Document:
    """Whoever is on mic and here again is looked at: the room may have been told that they are
    away, and must not be left with it."""
    return {"$cond": [{"$in": ["$role", list(ON_MIC)]}, now, None]}


def _due(at: int, patience: Patience) -> Document:
    """When something first comes of an absence, which is for the role to say."""
    on_mic = {"$in": ["$role", list(ON_MIC)]}
    return {"$cond": [on_mic, at + patience.shown, at + patience.viewer]}
