"""processes, process_reports, outbox, relay_cursors: all processes, and what waits in queues."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from bson import ObjectId

from storage.database import Collection, Database, Document
from storage.outbox import NORMAL, URGENT, OutboxStore

MAX_COUNT = 10_000
"""Longest queue that is counted: an outage of Tencent may leave more, and every look costs that."""
REPORT_TTL_SECONDS = 4_000
"""Longer than a lapsed lease is kept, which the last report of its process describes."""
CHART_SECONDS, POINT_SECONDS = 1_800, 15
"""Length of a chart, and distance of its points: in it each process reports several times."""
SUMMED = ("sockets", "requests_rate", "refused_rate", "failed_rate", "events_rate")
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
    """Requests answered per second since the last report, as are the other rates."""
    refused_rate: float
    """Requests answered with 4xx."""
    failed_rate: float
    """Requests answered with 5xx."""
    events_rate: float
    """Events delivered to rooms."""
    slowest_request_ms: float
    """Duration of the slowest request since the last report."""
    slowest_delivery_ms: float
    """Longest time from saving an event to its delivery, since the last report."""


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What a process reports of itself every few seconds, for operators."""

    machine: str
    pid: int
    address: str
    """Base URL of its port."""
    version: str
    started_at: datetime
    draining: bool
    """It finishes its requests and stops."""
    readings: Readings


@dataclass(frozen=True, slots=True)
class StoredProcess:
    """A lease with the last report of its process.

    One that was not released is kept for an hour after it has lapsed.
    """

    id: str
    lease_until: datetime
    renewed_at: datetime
    report: ProcessReport


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
    """Stores the reports of this process, and reads those of all processes of the database."""

    def __init__(self, database: Database, outbox: OutboxStore) -> None:
        self._processes: Collection = database.collection("processes")
        self._reports: Collection = database.collection("process_reports")
        self._messages: Collection = database.collection("outbox")
        self._relays: Collection = database.collection("relay_cursors")
        self._outbox = outbox

    async def make_indexes(self) -> None:
        await self._reports.create_index("at", expireAfterSeconds=REPORT_TTL_SECONDS)
        await self._reports.create_index([("process", 1), ("at", -1)])

    async def add_report(self, process: str, report: ProcessReport) -> None:
        """Store a report with the time of the database's clock."""
        fields = {"process": process, **asdict(report)}
        await self._reports.update_one(
            {"_id": ObjectId()}, {"$set": fields, "$currentDate": {"at": True}}, upsert=True
        )

    async def processes(self) -> list[StoredProcess]:
        """All leases, of which there are few, with the last report of each process."""
        leases = await self._processes.find({}, {"expires_at": 1, "renewed_at": 1}).to_list()
        reports = await asyncio.gather(
            *(self._reports.find_one({"process": it["_id"]}, sort=[("at", -1)]) for it in leases)
        )
        return [
            StoredProcess(
                lease["_id"], lease["expires_at"], lease["renewed_at"], _report_from(report)
            )
            for lease, report in zip(leases, reports, strict=True)
            if report
        ]

    async def chart_points(self, now: datetime) -> list[Document]:
        """Points of the charts by time `_id`, up to `now`, which the database's clock said.

        Of the values in SUMMED the sum over all processes, of those in MAXIMA the maximum, and the
        number of `processes`. The present interval, which has no reports of some processes yet, is
        left out.
        """
        end = datetime.fromtimestamp(now.timestamp() // POINT_SECONDS * POINT_SECONDS, now.tzinfo)
        point = {"$dateTrunc": {"date": "$at", "unit": "second", "binSize": POINT_SECONDS}}
        of_process = {name: {"$avg": f"$readings.{name}"} for name in SUMMED}
        of_process |= {name: {"$max": f"$readings.{name}"} for name in MAXIMA}
        of_all: Document = {name: {"$sum": f"${name}"} for name in SUMMED}
        of_all |= {name: {"$max": f"${name}"} for name in MAXIMA}
        found = await self._reports.aggregate(
            [
                {"$match": {"at": {"$gte": end - timedelta(seconds=CHART_SECONDS), "$lt": end}}},
                {"$group": {"_id": {"at": point, "process": "$process"}, **of_process}},
                {"$group": {"_id": "$_id.at", "processes": {"$sum": 1}, **of_all}},
                {"$sort": {"_id": 1}},
            ]
        )
        return await found.to_list()

    async def queues(self, now: datetime) -> Queues:
        """What waits at `now`, which the database's clock said."""
        due = {"due_at": {"$lte": now}}
        urgent, normal, oldest_at, rooms, first = await asyncio.gather(
            self._messages.count_documents({"state": URGENT}, limit=MAX_COUNT),
            self._messages.count_documents({"state": NORMAL}, limit=MAX_COUNT),
            self._outbox.oldest(),
            self._relays.count_documents(due, limit=MAX_COUNT),
            self._relays.find_one(due, {"due_at": 1}, sort=[("due_at", 1)]),
        )
        behind = _age(first["due_at"], now) if first else 0.0
        return Queues(urgent, normal, _age(oldest_at, now), rooms, behind)


def _report_from(row: Document) -> ProcessReport:
    """Without fields that a later release adds."""
    report = {name: row[name] for name in ProcessReport.__slots__}
    readings = {name: row["readings"][name] for name in Readings.__slots__}
    return ProcessReport(**{**report, "readings": Readings(**readings)})


def _age(at: datetime | None, now: datetime) -> float:
    """Seconds since `at`; 0 without one."""
    return max(0.0, (now - at).total_seconds()) if at else 0.0
