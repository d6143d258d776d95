"""lives: one report per live; `_id` is its epoch. visits: one document per live and visitor.

Reports are written in the transactions that write what they count. Only the audience and the new
followers are counted when a live has ended.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne

from core.cache import Cache
from rooms.dates import DateChange
from rooms.events import LAST_EVENT_TYPE, NumberedEvent
from rooms.room import Room
from storage.database import Collection, Database, Document
from storage.documents import (
    EPOCH,
    MILLISECOND,
    change_one,
    given,
    make_page_indexes,
    page,
    starts_with,
    stream,
)
from storage.write_batch import WriteBatch

COUNTS = ("audience_peak", "audience_total", "applications", "income", "followers", "matches")
"""Numbers of a report, besides that of its dates."""
MAX_DATES = 200
"""Dates that a report keeps: one every two minutes for seven hours. A page of eight reports with so
many takes 80 ms to encode."""
VISITS_KEPT = timedelta(days=7)
"""Visits are deleted when their live ends. This deletes those of a process that was killed then."""
PEAK_SECONDS, MAX_PEAKS = 3_600.0, 10_000
"""How long, and of how many lives, a process remembers the peak that it has written."""


class LiveStore:
    """Reports of lives, and the visits that are counted when a live ends."""

    def __init__(self, database: Database) -> None:
        self._lives: Collection = database.collection("lives")
        self._visits: Collection = database.collection("visits")
        self._follows: Collection = database.collection("follows")
        self._peaks: Cache[str, int] = Cache(PEAK_SECONDS, MAX_PEAKS)

    async def make_indexes(self) -> None:
        await make_page_indexes(self._lives, "started_at", "host_id", "live_id")
        await self._lives.create_index("ended_at", partialFilterExpression={"ended_at": None})
        for guest in ("dates.male", "dates.female"):
            await self._lives.create_index(guest)
        await self._visits.create_index("at", expireAfterSeconds=int(VISITS_KEPT.total_seconds()))

    def add_writes(
        self,
        room: Room,
        events: Sequence[NumberedEvent],
        dates: Sequence[DateChange],
        batch: WriteBatch,
    ) -> None:
        """Add what a change of a room adds to the report of its live, and the visits."""
        if room.epoch != room.loaded.epoch:
            batch.upsert("lives", {"_id": room.epoch}, {"$setOnInsert": _new_report(room)})
        if stages := _stages(events, dates):
            batch.update_if_present("lives", {"_id": room.epoch}, stages)
        for user_id, member in room.members.items():
            old = room.loaded.members.get(user_id)
            if member.role != "host" and (old is None or old.epoch != member.epoch):
                visit = {"_id": f"{member.epoch}:{user_id}"}
                batch.upsert("visits", visit, {"$setOnInsert": {"at": datetime.now(UTC)}})

    async def note_audiences(self, audiences: Mapping[str, int]) -> None:
        """Raise the peaks to these numbers, by epoch, where this process has written less.

        The numbers are sampled once a second, so that a shorter peak may be missed.
        """
        higher = {
            epoch: number
            for epoch, number in audiences.items()
            if number > (self._peaks.get(epoch) or 0)
        }
        if not higher:
            return
        start = self._peaks.begin_read()
        raised = [
            UpdateOne({"_id": epoch}, {"$max": {"audience_peak": number}})
            for epoch, number in higher.items()
        ]
        await self._lives.bulk_write(raised, ordered=False)
        for epoch, number in higher.items():
            self._peaks.put(epoch, number, start)

    async def complete(self, epoch: str) -> Document:
        """Count the audience and the new followers of an ended live; return both numbers.

        It may be repeated, also at the same time: the first numbers that are stored stay.
        """
        visits = {"_id": starts_with(f"{epoch}:")}
        total = await self._visits.count_documents(visits)
        followers = (await self._new_followers(epoch)).get(epoch, 0)
        is_first = {"$eq": ["$audience_total", None]}
        numbers = {"audience_total": total, "followers": followers}
        stored = {name: {"$cond": [is_first, n, f"${name}"]} for name, n in numbers.items()}
        report = await change_one(self._lives, {"_id": epoch}, [{"$set": stored}])
        await self._visits.delete_many(visits)
        return {name: report[name] for name in numbers} if report else numbers

    async def running(self) -> list[int]:
        """Return the rooms that are live."""
        return [
            row["live_id"] async for row in self._lives.find({"ended_at": None}, {"live_id": 1})
        ]

    async def page_of_host(self, host_id: str, number: int, size: int) -> list[Document]:
        """Return page `number` (from 1) of the reports of a host, the newest first."""
        found = self._lives.find({"host_id": host_id}).sort([("started_at", -1), ("_id", -1)])
        return await self._shown(await found.skip((number - 1) * size).to_list(size))

    async def page(
        self, after: str, limit: int, *, live_id: int | None = None, host_id: str = ""
    ) -> tuple[list[Document], str | None]:
        """Return reports, the newest first, and the next cursor. Raises InvalidCursor."""
        where = given(live_id=live_id, host_id=host_id)
        rows, cursor = await page(self._lives, where, "started_at", after, limit)
        return await self._shown(rows), cursor

    async def counts(self, epoch: str) -> dict[str, int]:
        """Return the counts of the report of an ended live, 0 for all without a report."""
        found = await self._lives.find({"_id": epoch}).to_list()
        row = (await self._shown(found) or [{}])[0]
        return {name: row.get(name, 0) for name in COUNTS} | {"dates": len(row.get("dates", ()))}

    async def _shown(self, rows: list[Document]) -> list[Document]:
        """Add totals that a killed process has not counted; keep each peak within 1 and its total.

        A live without an audience has a peak of 0.
        """
        running = [row["_id"] for row in rows if row["ended_at"] is None]
        followers = await self._new_followers(*running) if running else {}
        for row in rows:
            if row["ended_at"] is None:
                row["followers"] = followers.get(row["_id"], 0)
                continue
            if row["audience_total"] is None:
                row.update(await self.complete(row["_id"]))
            row["audience_peak"] = min(max(row["audience_peak"], 1), row["audience_total"])
        return rows

    async def _new_followers(self, *epochs: str) -> dict[str, int]:
        """Count the follows that began in these lives.

        They are not counted as they begin: the gifts in the room, which write to the report as
        well, took ten times as long while many users began to follow the host.
        """
        steps: list[Document] = [
            {"$match": {"epoch": {"$gt": "", "$in": [*epochs]}}},
            {"$group": {"_id": "$epoch", "number": {"$sum": 1}}},
        ]
        return {row["_id"]: row["number"] async for row in stream(self._follows, steps)}


def _new_report(room: Room) -> Document:
    return {
        "live_id": room.live_id,
        "host_id": room.host_id,
        "started_at": _time(room.started_at),
        "ended_at": None,
        "reason": "",
        "audience_peak": 0,
        "audience_total": None,
        "dates": [],
        **dict.fromkeys(("applications", "income", "followers", "matches"), 0),
    }


def _stages(events: Sequence[NumberedEvent], dates: Sequence[DateChange]) -> list[Document]:
    """Return the update by which the report counts these events."""
    stages: list[Document] = []
    if applied := sum(event.type == "micro_apply" for event in events):
        stages.append({"$set": {"applications": {"$add": ["$applications", applied]}}})
    stages += map(_date_stage, dates)
    if events and events[-1].type == LAST_EVENT_TYPE:
        end = {"ended_at": _time(events[-1].ts), "reason": events[-1].data["reason"]}
        stages.append({"$set": end})
    return stages


def _date_stage(change: DateChange) -> Document:
    if change.on:
        date = {"male": change.male, "female": change.female, "from": _time(change.at), "to": None}
        dates: Document = {"$slice": [{"$concatArrays": ["$dates", [date]]}, MAX_DATES]}
    else:
        ended = {"to": {"$ifNull": ["$$this.to", _time(change.at)]}}
        dates = {"$map": {"input": "$dates", "in": {"$mergeObjects": ["$$this", ended]}}}
    return {"$set": {"dates": dates}}


def _time(ms: int) -> datetime:
    return EPOCH + ms * MILLISECOND
