"""lives: one summary per live; `_id` is its epoch.

A summary is written when its live begins and when it ends, by the transactions of the room. While
the live runs, its room has the counts, and `visits` the peak of its audience. Only a match adds
itself, since a like may make it outside of the room and after the live.
"""

from collections.abc import Sequence
from datetime import datetime

from rooms.dates import MAX_DATES, date_fields
from rooms.events import NumberedEvent
from rooms.room import Room
from storage.database import Collection, Database, Document
from storage.documents import (
    EPOCH,
    MILLISECOND,
    change_one,
    given,
    make_page_indexes,
    page,
    stream,
)
from storage.rooms.visits import VisitStore
from storage.write_batch import WriteBatch

COUNTS = ("audience_peak", "audience_total", "applications", "income", "followers", "matches")
"""Numbers of a summary, besides that of its dates."""
ROOM_COUNTS = {"epoch": 1, "application_count": 1, "income": 1, "dates": 1}


class SummaryStore:
    """Summaries of lives."""

    def __init__(self, database: Database, visits: VisitStore) -> None:
        self._lives: Collection = database.collection("lives")
        self._rooms: Collection = database.collection("rooms")
        self._follows: Collection = database.collection("follows")
        self._visits = visits

    async def make_indexes(self) -> None:
        await make_page_indexes(self._lives, "started_at", "host_id", "live_id")
        await self._lives.create_index("ended_at", partialFilterExpression={"ended_at": None})
        for guest in ("dates.male", "dates.female"):
            await self._lives.create_index(guest)

    def add_new(self, batch: WriteBatch, room: Room) -> None:
        """Add the summary of a live that begins with this change of its room."""
        summary: Document = {
            "live_id": room.live_id,
            "host_id": room.host_id,
            "started_at": _time(room.started_at),
            "ended_at": None,
            "reason": "",
            "audience_total": None,
            "dates": [],
            **dict.fromkeys(("audience_peak", "applications", "income", "followers", "matches"), 0),
        }
        batch.upsert("lives", {"_id": room.epoch}, {"$setOnInsert": summary})

    def add_end(
        self, batch: WriteBatch, room: Room, end: NumberedEvent, dates: Sequence[Document]
    ) -> None:
        """Add the counts of a live that ends; `dates` are those stored before this change."""
        changed = date_fields(room.date_changes, end.ts)
        numbers = range(min(room.date_count, MAX_DATES))
        whole = [{**date, **changed.get(n, {})} for n, date in enumerate(dates)]
        whole += [changed[n] for n in numbers[len(dates) :]]
        ended = {
            "ended_at": _time(end.ts),
            "reason": end.data["reason"],
            "applications": room.application_count,
            "income": room.income,
            "dates": [*map(_date, whole)],
        }
        batch.update_if_present("lives", {"_id": room.epoch}, {"$set": ended})

    def add_match(self, batch: WriteBatch, epoch: str) -> None:
        batch.update_if_present("lives", {"_id": epoch}, {"$inc": {"matches": 1}})

    async def complete(self, live_id: int, epoch: str) -> Document:
        """Count the audience and the new followers of an ended live; return these numbers.

        It may be repeated, also at the same time: the first numbers that are stored stay. The peak
        is within 1 and the total, 0 without an audience.
        """
        total, peak = await self._visits.count(live_id, epoch)
        followers = (await self._new_followers(epoch)).get(epoch, 0)
        is_first = {"$eq": ["$audience_total", None]}
        numbers = {"audience_total": total, "followers": followers}
        numbers["audience_peak"] = min(max(peak, 1), total)
        stored = {name: {"$cond": [is_first, n, f"${name}"]} for name, n in numbers.items()}
        summary = await change_one(self._lives, {"_id": epoch}, [{"$set": stored}])
        await self._visits.delete(epoch)
        return {name: summary[name] for name in numbers} if summary else numbers

    async def running(self) -> list[int]:
        """Return the rooms that are live."""
        return [
            row["live_id"] async for row in self._lives.find({"ended_at": None}, {"live_id": 1})
        ]

    async def page_of_host(self, host_id: str, number: int, size: int) -> list[Document]:
        """Return page `number` (from 1) of the summaries of a host, the newest first."""
        found = self._lives.find({"host_id": host_id}).sort([("started_at", -1), ("_id", -1)])
        return await self._shown(await found.skip((number - 1) * size).to_list(size))

    async def page(
        self, after: str, limit: int, *, live_id: int | None = None, host_id: str = ""
    ) -> tuple[list[Document], str | None]:
        """Return summaries, the newest first, and the next cursor. Raises InvalidCursor."""
        where = given(live_id=live_id, host_id=host_id)
        rows, cursor = await page(self._lives, where, "started_at", after, limit)
        return await self._shown(rows), cursor

    async def counts(self, epoch: str) -> dict[str, int]:
        """Return the counts of the summary of an ended live, 0 for all without a summary."""
        found = await self._lives.find({"_id": epoch}).to_list()
        row = (await self._shown(found) or [{}])[0]
        return {name: row.get(name, 0) for name in COUNTS} | {"dates": len(row.get("dates", ()))}

    async def _shown(self, rows: list[Document]) -> list[Document]:
        """Show running lives with their counts of now, and add what a killed process left out."""
        if any(row["ended_at"] is None for row in rows):
            rows = await self._with_present_counts(rows)
        for row in rows:
            if row["ended_at"] and row["audience_total"] is None:
                row.update(await self.complete(row["live_id"], row["_id"]))
        return rows

    async def _with_present_counts(self, rows: list[Document]) -> list[Document]:
        running = {row["_id"]: row["live_id"] for row in rows if row["ended_at"] is None}
        peaks, followers = await self._visits.peaks(*running), await self._new_followers(*running)
        rooms = self._rooms.find({"_id": {"$in": [*running.values()]}}, ROOM_COUNTS)
        counts = {
            room["epoch"]: {
                "applications": room["application_count"],
                "income": room["income"],
                "dates": [*map(_date, room["dates"])],
                "followers": followers.get(room["epoch"], 0),
                "audience_peak": peaks.get(room["epoch"], 0),
            }
            async for room in rooms
        }
        if ended := running.keys() - counts.keys():  # since then, with another live in the room
            found = self._lives.find({"_id": {"$in": [*ended]}})
            counts |= {row["_id"]: row async for row in found}
        return [{**row, **counts.get(row["_id"], {})} for row in rows]

    async def _new_followers(self, *epochs: str) -> dict[str, int]:
        """Count the follows that began in these lives.

        They are not counted as they begin: the gifts in the room, which write to the room as well,
        took ten times as long while many users began to follow the host.
        """
        steps: list[Document] = [
            {"$match": {"epoch": {"$gt": "", "$in": [*epochs]}}},
            {"$group": {"_id": "$epoch", "number": {"$sum": 1}}},
        ]
        return {row["_id"]: row["number"] async for row in stream(self._follows, steps)}


def _date(date: Document) -> Document:
    """Return a date of a room as summaries have it."""
    return {**date, "from": _time(date["from"]), "to": _time(date["to"]) if date["to"] else None}


def _time(ms: int) -> datetime:
    return EPOCH + ms * MILLISECOND
