"""errands: the persistent outbox towards Tencent, for whatever nobody waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument

from storage.database import Collection, Database, Document, Session


@dataclass(frozen=True, slots=True)
class Errand:
    """`tries` counts the claims so far, the present one included."""

    id: str
    kind: str
    payload: dict[str, Any]
    tries: int


class Errands:
    """A queue that survives a crash: an errand is leased, done, or put back for later."""

    def __init__(
        self, database: Database, *, only: Sequence[str] = (), but: Sequence[str] = ()
    ) -> None:
        """Claims are of the kinds in `only`, if there are any, and of none in `but`: a service
        that does not answer must not keep another one's errands waiting."""
        self._kinds: Document = {"$nin": list(but), **({"$in": list(only)} if only else {})}
        self._errands: Collection = database.collection("errands")

    async def make_indexes(self) -> None:
        await self._errands.create_index([("state", 1), ("due_at", 1)])

    async def add(self, kind: str, payload: dict[str, Any], session: Session | None = None) -> None:
        row = {"kind": kind, "payload": payload, "tries": 0, "state": "due"}
        await self._errands.insert_one({**row, "due_at": datetime.now(UTC)}, session=session)

    async def claim(self, now: datetime, until: datetime) -> Errand | None:
        """The earliest that is due, counted as tried and ours until `until`."""
        row = await self._errands.find_one_and_update(
            {"state": "due", "due_at": {"$lte": now}, "kind": self._kinds},
            {"$set": {"due_at": until}, "$inc": {"tries": 1}},
            sort=[("due_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            return None
        return Errand(str(row["_id"]), row["kind"], row["payload"], row["tries"])

    async def done(self, errand_id: str) -> None:
        await self._errands.delete_one({"_id": ObjectId(errand_id)})

    async def again(self, errand_id: str, at: datetime, why: str) -> None:
        await self._set(errand_id, due_at=at, why=why)

    async def failed(self, errand_id: str, why: str) -> None:
        """Kept for people to look at, never tried again."""
        await self._set(errand_id, state="failed", why=why)

    async def waiting(self) -> int:
        return await self._errands.count_documents({"state": "due"})

    async def _set(self, errand_id: str, **fields: Any) -> None:
        await self._errands.update_one({"_id": ObjectId(errand_id)}, {"$set": fields})
