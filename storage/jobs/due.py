"""Claims of documents that are due at their `due_at`, figures of open ones, and leased jobs.

"Due" is by the database's clock, which all processes share. The partial index of `due_at` leaves
out documents without one.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from storage.database import Collection, Database, Document
from storage.documents import change_one

BEFORE_ANY = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier than any document: lower bound in the partial index, which leaves out unset times."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""Largest expected difference between the clocks of a process and of the database."""


async def claim_due(
    collection: Collection,
    lease: timedelta,
    where: Document | None = None,
    changes: Document | None = None,
    *,
    field: str = "due_at",
    order: str = "",
) -> Document | None:
    """Lease the first document that is due, in the order of a field.

    It is due again when the lease lapses. `where` are more conditions, `changes` more fields to
    set; `field` says when it is due, and is the order, too, unless another is given.
    """
    until = {"$add": ["$$NOW", int(lease.total_seconds() * 1000)]}
    is_due, claimed = {**(where or {}), **due_now(field)}, {**(changes or {}), field: until}
    return await change_one(collection, is_due, [{"$set": claimed}], order=order or field)


async def claim_unchanged(
    collection: Collection, claims: Sequence[tuple[Document, Document]]
) -> set[object]:
    """Claim documents that are unchanged since they were read, in one command; return their ids.

    `claims` has a filter and an update for each.
    """
    token = secrets.token_bytes(8)
    updates = [
        UpdateOne(where, {**update, "$set": {**update["$set"], "claim": token}})
        for where, update in claims
    ]
    ids = [where["_id"] for where, _ in claims]
    result = await collection.bulk_write(updates, ordered=False)
    if result.matched_count == len(ids):
        return set(ids)
    mine = {"_id": {"$in": ids}, "claim": token}
    return {row["_id"] async for row in collection.find(mine, {"_id": 1})}


def due_now(field: str = "due_at") -> Document:
    """Return a condition on documents that are due.

    An index cannot be bounded by $$NOW, so the clock of this process bounds the scan.
    """
    bounds = {"$gt": BEFORE_ANY, "$lt": datetime.now(UTC) + CLOCKS_DIFFER}
    return {field: bounds, "$expr": {"$lte": [f"${field}", "$$NOW"]}}


class OpenCounts(NamedTuple):
    """Open documents by state, since when the oldest of each is, and problems by their code."""

    states: Mapping[str, int]
    oldest: Mapping[str, datetime]
    problems: Mapping[str, int]


async def open_counts(
    collection: Collection,
    states: Iterable[str],
    since: str | Document,
    unwind: Sequence[Document],
    problem: str,
) -> OpenCounts:
    """Count the documents in these states, and the problems in them.

    `since`: expression for the time from which a document is open. `problem`: path of the field
    with the code of a problem. If the path leads into an array, `unwind` has the stages that make
    a document of each element, so that each problem is counted.
    """
    is_open: Document = {"$match": {"state": {"$in": [*states]}}}
    by_state: Document = {"_id": "$state", "n": {"$sum": 1}, "oldest": {"$min": since}}
    found = await (await collection.aggregate([is_open, {"$group": by_state}])).to_list()
    has_problem: Document = {"$match": {problem: {"$gt": ""}}}
    by_problem: Document = {"$group": {"_id": f"${problem}", "n": {"$sum": 1}}}
    rows = await collection.aggregate([is_open, *unwind, has_problem, by_problem])
    return OpenCounts(
        {row["_id"]: row["n"] for row in found},
        {row["_id"]: row["oldest"] for row in found if row["oldest"]},
        {row["_id"]: row["n"] async for row in rows},
    )


class JobLeaseStore:
    """Leases of jobs that one process runs for all, and their last results."""

    def __init__(self, database: Database) -> None:
        self._leases: Collection = database.collection("job_leases")

    async def acquire(self, name: str, seconds: float) -> bool:
        """Take the lease for `seconds`; return False if it is held or the job is not due yet."""
        due = {"$lte": [{"$ifNull": ["$due_at", "$$NOW"]}, "$$NOW"]}
        later = {"$add": ["$$NOW", int(seconds * 1000)]}
        steps: list[Document] = [
            {"$set": {"ours": due}},
            {"$set": {"due_at": {"$cond": ["$ours", later, "$due_at"]}}},
        ]
        try:
            lease = await change_one(self._leases, {"_id": name}, steps, upsert=True)
        except DuplicateKeyError:  # first lease of this name, taken concurrently by another process
            return False
        return bool(lease and lease["ours"])

    async def store_result(self, name: str, result: dict[str, Any]) -> None:
        """Store a result, unless a stored one is of a later start (`at`)."""
        older = [{"result.at": {"$exists": False}}, {"result.at": {"$lte": result["at"]}}]
        with suppress(DuplicateKeyError):
            await self._leases.update_one(
                {"_id": name, "$or": older}, {"$set": {"result": result}}, upsert=True
            )

    async def release(self, name: str, seconds: float) -> None:
        later = {"$add": ["$$NOW", int(seconds * 1000)]}
        await self._leases.update_one({"_id": name}, [{"$set": {"due_at": later}}])

    async def last_result(self, name: str) -> dict[str, Any]:
        row = await self._leases.find_one({"_id": name}, {"result": 1})
        return dict((row or {}).get("result", {}))


class LeasedJob:
    """Work that is repeated by one process at a time. The lease of a dead process expires."""

    def __init__(self, name: str, leases: JobLeaseStore, *, lease: float, interval: float) -> None:
        """Take the seconds after which a running process is presumed dead, and between starts."""
        self._name = name
        self._leases = leases
        self._lease_seconds = lease
        self._interval = interval
        self.last: dict[str, Any] = {}
        """The last stored result of any process; {} before the first."""

    async def run_if_due(self) -> None:
        """Run if the lease is free, then load the last result.

        The next run is due at least as long after this one as this one took.
        """
        if await self._leases.acquire(self._name, self._lease_seconds):
            started_at, interval = time.monotonic(), self._interval
            try:
                interval = await self._run_once() or interval
            finally:
                elapsed = time.monotonic() - started_at
                await self._leases.release(self._name, max(interval - elapsed, elapsed))
        await self._load()

    async def _run_once(self) -> float | None:
        """Do the work and store its result. Return the interval to the next run if it differs."""
        raise NotImplementedError

    async def _load(self) -> dict[str, Any]:
        self.last = await self._leases.last_result(self._name)
        return self.last

    async def _store(self, **result: Any) -> None:
        self.last = result
        await self._leases.store_result(self._name, result)
