"""relays: how far each room's events have been relayed to Tencent IM, and who is at it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from storage.database import Collection, Database, Document


@dataclass(frozen=True, slots=True)
class Turn:
    """One room, for now relayed by us alone: the row as it was when we claimed it.

    Events of `epoch` up to `seq` have been relayed (`epoch` "": none of any life yet). What
    happened before `since` is older than the row, and not to be relayed. `num_due`: its numbers
    may have changed; they are not to be sent before `num_at`. `tries` counts the failures since
    something succeeded. `woken` grows with every wake, `claims` with every turn.
    """

    live_id: int
    epoch: str
    seq: int
    since: datetime
    num_due: bool
    num_at: datetime
    tries: int
    woken: int
    claims: int


class Relays:
    """One row per room. Anybody may wake a room; only who has claimed it moves its cursor.

    `due_at` stands while there is something to do, `claimed_until` is when others may claim:
    a wake during somebody's turn, or while a failure is waited for, only sets the former.
    """

    def __init__(self, database: Database) -> None:
        self._relays: Collection = database.collection("relays")

    async def make_indexes(self) -> None:
        await self._relays.create_index("due_at", sparse=True)
        await self._relays.create_index("over")

    async def wake(self, live_id: int, now: datetime, *, num: bool) -> None:
        """The room has something to relay; with `num` also its numbers."""
        row = {"epoch": "", "seq": 0, "over": False, "since": now, "num_at": now}
        row |= {"tries": 0, "claims": 0, "claimed_until": now}
        if not num:
            row["num_due"] = False
        change: Document = {"$setOnInsert": row, "$min": {"due_at": now}, "$inc": {"woken": 1}}
        if num:
            change["$set"] = {"num_due": True}
        await self._relays.update_one({"_id": live_id}, change, upsert=True)

    async def claim(self, now: datetime, until: datetime) -> Turn | None:
        """The room that is due for the longest time, ours until `until`."""
        row = await self._relays.find_one_and_update(
            {"due_at": {"$lte": now}, "claimed_until": {"$lte": now}},
            {"$set": {"claimed_until": until}, "$inc": {"claims": 1}},
            sort=[("due_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return _turn_from(row) if row else None

    async def moved(self, turn: Turn, epoch: str, seq: int, until: datetime, *, over: bool) -> bool:
        """Relayed up to here, and ours until `until`; False when it is no longer ours.

        `over`: this was the last event of the life.
        """
        return await self._set(turn, epoch=epoch, seq=seq, over=over, tries=0, claimed_until=until)

    async def rest(
        self, turn: Turn, now: datetime, num_at: datetime, due_at: datetime | None, *, num_due: bool
    ) -> None:
        """The turn ends well: due again at `due_at`, or at once when it was woken meanwhile."""
        free = {"tries": 0, "num_at": num_at, "claimed_until": now}
        quiet: Document = {"$set": {**free, "num_due": num_due}, "$unset": {"due_at": ""}}
        if due_at:
            quiet = {"$set": {**free, "num_due": num_due, "due_at": due_at}}
        where = {**_ours(turn), "woken": turn.woken}
        if not (await self._relays.update_one(where, quiet)).matched_count:
            await self._set(turn, **free)

    async def later(self, turn: Turn, at: datetime) -> None:
        """The turn has failed: nobody claims the room before `at`, however often it is woken."""
        change = {"$set": {"claimed_until": at}, "$inc": {"tries": 1}}
        await self._relays.update_one(_ours(turn), change)

    async def cursors(self) -> dict[int, tuple[str, int]]:
        """(epoch, seq) of every room whose last life has not been relayed to its end."""
        found = self._relays.find({"over": False}, {"epoch": 1, "seq": 1})
        return {row["_id"]: (row["epoch"], row["seq"]) async for row in found}

    async def _set(self, turn: Turn, **fields: Any) -> bool:
        found = await self._relays.update_one(_ours(turn), {"$set": fields})
        return found.matched_count == 1


def _ours(turn: Turn) -> Document:
    """Matches while nobody has claimed the room after us."""
    return {"_id": turn.live_id, "claims": turn.claims}


def _turn_from(row: Document) -> Turn:
    known = {name: row[name] for name in Turn.__slots__ if name in row}
    return Turn(**{**known, "live_id": row["_id"]})
