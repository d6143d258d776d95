"""job_leases: leases of periodic jobs that one process runs for all, and their last results."""

from contextlib import suppress
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from storage.database import Collection, Database, Document


class JobLeaseStore:
    """Leases by the database's clock; the lease of a dead process expires and is taken over."""

    def __init__(self, database: Database) -> None:
        self._leases: Collection = database.collection("job_leases")

    async def acquire(self, name: str, seconds: float) -> bool:
        """Take the lease for `seconds`; False if it is held or the job is not due yet."""
        due = {"$lte": [{"$ifNull": ["$due_at", "$$NOW"]}, "$$NOW"]}
        later = {"$add": ["$$NOW", int(seconds * 1000)]}
        steps: list[Document] = [
            {"$set": {"ours": due}},
            {"$set": {"due_at": {"$cond": ["$ours", later, "$due_at"]}}},
        ]
        try:
            lease = await self._leases.find_one_and_update(
                {"_id": name}, steps, upsert=True, return_document=ReturnDocument.AFTER
            )
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
        """Make the job due again in `seconds`."""
        later = {"$add": ["$$NOW", int(seconds * 1000)]}
        await self._leases.update_one({"_id": name}, [{"$set": {"due_at": later}}])

    async def last_result(self, name: str) -> dict[str, Any]:
        """The last result of any process; {} before the first."""
        row = await self._leases.find_one({"_id": name}, {"result": 1})
        return dict((row or {}).get("result", {}))
