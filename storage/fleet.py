"""Processes, queues and daily figures of the whole deployment, for operators."""

import asyncio
from collections.abc import Container
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from bson import ObjectId

from core.clock import day_interval
from ledger.gifts import day_scope
from storage.accounts.users import IS_DEBTOR
from storage.database import Database, Document
from storage.documents import known_fields, sums_of
from storage.jobs.outbox import NORMAL, URGENT, OutboxStore

MAX_COUNT = 10_000
"""Longest queue that is counted: an outage of Tencent may leave more, and every look costs that."""
STATUS_TTL_SECONDS = 4_000
"""Longer than a lapsed lease is kept, which the last status of its process describes."""
CHART_SECONDS, POINT_SECONDS = 1_800, 15
"""Length of a chart, and distance of its points: in it each process stores several statuses."""
SUMMED = ("sockets", "requests_rate", "refused_rate", "failed_rate", "events_rate")
RECENT, WEEK = timedelta(days=1), timedelta(days=7)
MAXIMA = ("loop_lag_ms", "slowest_request_ms", "slowest_delivery_ms")


@dataclass(frozen=True, slots=True)
class Readings:
    """Present values of one process; counts unless the name has a unit."""

    loop_lag_ms: float
    """Last measured delay of the event loop."""
    sockets: int
    """Open sockets, joining and closing ones included."""
    rooms: int
    """Rooms with a socket here."""
    requests: int
    """Requests in progress."""
    joins_waiting: int
    """Sockets that wait for their turn to join."""
    slow_clients: int
    """Sockets with unsent data."""
    rooms_behind: int
    """Rooms whose missed events are being read from the database."""
    relay_waiting: int
    """Rooms that the relay to IM has not stored as due yet."""
    bus_waiting: int
    """Messages that wait to be sent to Redis."""
    requests_rate: float
    """Requests answered per second since the last status, as are the other rates."""
    refused_rate: float
    """Requests answered with 4xx."""
    failed_rate: float
    """Requests answered with 5xx."""
    events_rate: float
    """Events delivered to rooms."""
    slowest_request_ms: float
    """Duration of the slowest request since the last status."""
    slowest_delivery_ms: float
    """Longest time from saving an event to its delivery, since the last status."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """State of a process by itself, stored every few seconds for operators."""

    machine: str
    pid: int
    address: str
    """Base URL of its port."""
    version: str
    started_at: datetime
    draining: bool
    """It finishes its requests and stops."""
    readings: Readings
    open_files: int = field(default=0, kw_only=True)
    """File descriptors that it may open; 0 if unknown."""


@dataclass(frozen=True, slots=True)
class FleetProcess(ProcessStatus):
    """A process that holds a lease, or whose lease has lapsed within the last hour.

    `missing`: it has not renewed its lease, nor released it as a stopping process does.
    """

    id: str
    state: Literal["serving", "draining", "missing"]
    lease_until: datetime
    lease_age_seconds: float
    """Time since the last renewal."""


@dataclass(frozen=True, slots=True)
class Queues:
    """Work for Tencent that waits in the database; lengths are counted up to MAX_COUNT."""

    outbox_urgent: int
    outbox_normal: int
    outbox_oldest_seconds: float
    """Age of the oldest message of both lanes."""
    relay_rooms: int
    """Rooms with events that IM does not have yet."""
    relay_oldest_seconds: float
    """How far the relay is behind."""


class FleetStore:
    """Stores the status of this process; each figure is a query that an index answers."""

    def __init__(self, database: Database, outbox: OutboxStore) -> None:
        self._in = database.collection
        self._statuses = database.collection("process_statuses")
        self._outbox = outbox

    async def make_indexes(self) -> None:
        await self._statuses.create_index("at", expireAfterSeconds=STATUS_TTL_SECONDS)
        await self._statuses.create_index([("process", 1), ("at", -1)])

    async def add_status(self, process: str, status: ProcessStatus) -> None:
        """Store a status with the time of the database's clock."""
        fields = {"process": process, **asdict(status)}
        await self._statuses.update_one(
            {"_id": ObjectId()}, {"$set": fields, "$currentDate": {"at": True}}, upsert=True
        )

    async def processes(self, now: datetime) -> list[FleetProcess]:
        """Return the last status of each process with its lease, by machine and address.

        A missing process is left out once another one serves at its address. `now` is by the
        database's clock.
        """
        leases = await self._in("processes").find({}, {"expires_at": 1, "renewed_at": 1}).to_list()
        statuses = await asyncio.gather(
            *(self._statuses.find_one({"process": row["_id"]}, sort=[("at", -1)]) for row in leases)
        )
        found = [
            _process_from(lease, status, now)
            for lease, status in zip(leases, statuses, strict=True)
            if status
        ]
        served = {_place(process) for process in found if process.state != "missing"}
        shown = [row for row in found if row.state != "missing" or _place(row) not in served]
        return sorted(shown, key=_place)

    async def chart_points(self, now: datetime) -> list[Document]:
        """Return points of the charts by time `_id`, up to `now` by the database's clock.

        A point has the sum over all processes of the values in SUMMED, the maximum of those in
        MAXIMA, and the number of `processes`. The present interval, which has no status of some
        processes yet, is left out.
        """
        end = datetime.fromtimestamp(now.timestamp() // POINT_SECONDS * POINT_SECONDS, now.tzinfo)
        point = {"$dateTrunc": {"date": "$at", "unit": "second", "binSize": POINT_SECONDS}}
        of_process = {name: {"$avg": f"$readings.{name}"} for name in SUMMED}
        of_process |= {name: {"$max": f"$readings.{name}"} for name in MAXIMA}
        of_all: Document = {name: {"$sum": f"${name}"} for name in SUMMED}
        of_all |= {name: {"$max": f"${name}"} for name in MAXIMA}
        found = await self._statuses.aggregate(
            [
                {"$match": {"at": {"$gte": end - timedelta(seconds=CHART_SECONDS), "$lt": end}}},
                {"$group": {"_id": {"at": point, "process": "$process"}, **of_process}},
                {"$group": {"_id": "$_id.at", "processes": {"$sum": 1}, **of_all}},
                {"$sort": {"_id": 1}},
            ]
        )
        return await found.to_list()

    async def queues(self, now: datetime) -> Queues:
        """Return the lengths of the queues at `now`, by the database's clock."""
        due = {"due_at": {"$lte": now}}
        urgent, normal, oldest_at, rooms, first = await asyncio.gather(
            self._in("outbox").count_documents({"state": URGENT}, limit=MAX_COUNT),
            self._in("outbox").count_documents({"state": NORMAL}, limit=MAX_COUNT),
            self._outbox.oldest(),
            self._in("relay_cursors").count_documents(due, limit=MAX_COUNT),
            self._in("relay_cursors").find_one(due, {"due_at": 1}, sort=[("due_at", 1)]),
        )
        behind = _age(first["due_at"], now) if first else 0.0
        return Queues(urgent, normal, _age(oldest_at, now), rooms, behind)

    # ---- figures of the overview

    async def daily_counts(self, day: date, attention: Container[str]) -> dict[str, Any]:
        """Return present counts, and the sums of `day` in China, by name.

        rooms: rooms that are live or paused; people: members of rooms; debtors: users who owe gold
        or income. Of the day: orders_paid: {fen, gold, orders}; given: {gold, income} of gifts. Of
        24 hours: refused: callbacks, {source, reason, times} each. Of a week: attention: events of
        WeChat whose name is in `attention`, {event, times, latest_at} each.
        """
        names = ("rooms", "people", "orders_paid", "given", "refused", "debtors", "attention")
        start, end = day_interval(day)
        paid = {"paid_at": {"$gte": start, "$lt": end}, "sandbox": {"$ne": True}}
        given = {"gold": "$gold", "income": "$income"}
        found = await asyncio.gather(
            self._in("rooms").count_documents({"status": {"$in": ["live", "paused"]}}),
            self._in("members").estimated_document_count(),
            sums_of(self._in("orders"), paid, {"fen": "$fen", "gold": "$gold", "orders": 1}),
            sums_of(self._in("rankings"), {"scope": day_scope(day)}, given),
            self._refused_callbacks(),
            self._in("users").count_documents(IS_DEBTOR),
            self._events(attention),
        )
        return dict(zip(names, found, strict=True))

    async def _events(self, names: Container[str]) -> list[Document]:
        """Return these events of the last week, counted by name, the latest first."""
        recent = {"event": {"$gt": ""}, "received_at": {"$gte": datetime.now(UTC) - WEEK}}
        rows = await self._counted(recent, "$event", "latest_at")
        return [{"event": row.pop("_id"), **row} for row in rows if row["_id"] in names]

    async def _refused_callbacks(self) -> list[Document]:
        """Return refused callbacks of the last day by source and reason, most frequent first."""
        recent = {"outcome": "refused", "received_at": {"$gte": datetime.now(UTC) - RECENT}}
        rows = await self._counted(recent, {"source": "$source", "reason": "$reason"}, "times")
        return [{**row["_id"], "times": row["times"]} for row in rows]

    async def _counted(self, where: Document, key: Any, order: str) -> list[Document]:
        """Return the number and the latest time of callbacks of each key, in descending order."""
        counts = {"_id": key, "times": {"$sum": 1}, "latest_at": {"$max": "$received_at"}}
        sort = {"$sort": {order: -1, "_id": 1}}
        steps: list[Document] = [{"$match": where}, {"$group": counts}, sort]
        return await (await self._in("inbox").aggregate(steps)).to_list()


def _place(process: FleetProcess) -> tuple[str, str]:
    return process.machine, process.address


def _process_from(lease: Document, status: Document, now: datetime) -> FleetProcess:
    """Parse a process without fields that a later release adds."""
    readings = Readings(**known_fields(Readings, status["readings"]))
    has_lease = lease["expires_at"] >= now
    return FleetProcess(
        **{**known_fields(ProcessStatus, status), "readings": readings},
        id=lease["_id"],
        state=("draining" if status["draining"] else "serving") if has_lease else "missing",
        lease_until=lease["expires_at"],
        lease_age_seconds=_age(lease["renewed_at"], now),
    )


def _age(at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds()) if at else 0.0
