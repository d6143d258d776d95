"""approvals: what waits for a second operator: large movements of gold, rates, recharge blocks."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from ledger.journal import Unit
from storage.database import Collection, Database, Document, Session
from storage.documents import fields_of, known_fields, page
from storage.errors import AlreadyDecided, ApprovalNotFound

ApprovalKind = Literal["grant", "settle", "reverse", "config", "block"]
ApprovalState = Literal["waiting", "done", "declined", "expired"]
KEPT = timedelta(days=90)
"""How long a request is kept after it was made; what was carried out is in the journal."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request of operator `by` to book the journal entry `key`, or to change a config or block.

    `arguments` are those of the ledger service besides reason and key, or the row before and after
    the change, as JSON; `on` is the user, the entry to reverse, or the config's key.
    """

    key: str
    kind: ApprovalKind
    on: str
    gold: int
    reason: str
    by: str
    arguments: Document
    made_at: datetime
    expires_at: datetime
    state: ApprovalState = "waiting"
    id: str = ""
    decided_by: str = ""
    decision_reason: str = ""
    decided_at: datetime | None = None

    @property
    def unit(self) -> Unit:
        """Unit of the amount `gold`."""
        unit: Unit = self.arguments.get("unit", "gold")
        return unit

    @property
    def before(self) -> Document:
        """The row that the request changes; {} if it adds one, or moves gold."""
        row: Document = json.loads(self.arguments.get("before", "{}"))
        return row

    @property
    def after(self) -> Document:
        """The row as it will be; {} if it is removed, or gold is moved."""
        row: Document = json.loads(self.arguments.get("after", "{}"))
        return row


class ApprovalStore:
    """One document per request; a decision is one guarded update."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._approvals: Collection = database.collection("approvals")

    async def make_indexes(self) -> None:
        await self._approvals.create_index("key", unique=True)
        await self._approvals.create_index([("made_at", -1), ("_id", -1)])
        await self._approvals.create_index([("state", 1), ("made_at", -1), ("_id", -1)])
        await self._approvals.create_index("delete_at", expireAfterSeconds=0)

    async def add(self, approval: Approval) -> Approval:
        """Store the request; if its key has one already, return that instead."""
        row = {**fields_of(approval), "delete_at": approval.made_at + KEPT}
        del row["id"]
        row["_id"] = str(ObjectId())
        try:
            await self._approvals.insert_one(row)
        except DuplicateKeyError:
            if existing := await self.find(approval.key):
                return existing
            raise
        return await self.get(row["_id"])

    async def find(self, key: str) -> Approval | None:
        row = await self._approvals.find_one({"key": key})
        return _approval_from(row) if row else None

    async def get(self, id_: str) -> Approval:
        """Raises ApprovalNotFound."""
        row = await self._approvals.find_one({"_id": id_})
        if row is None:
            raise ApprovalNotFound
        return _approval_from(row)

    async def summary(self, id_: str) -> Document:
        """Fields of a request for the audit log; {} if it does not exist."""
        row = await self._approvals.find_one({"_id": id_})
        if row is None:
            return {}
        names, arguments = ("state", "kind", "on", "gold", "by", "key"), row["arguments"]
        rows = {name: arguments[name] for name in ("before", "after") if name in arguments}
        return {name: row[name] for name in names} | rows

    async def set_aside(self, key: str) -> None:
        """Free the key of a request that was declined or has expired; the request stays listed."""
        past = [{"state": "declined"}, {"state": "waiting", "expires_at": {"$lte": _now()}}]
        aside = {"$concat": ["$key", "#", "$_id"]}
        await self._approvals.update_one({"key": key, "$or": past}, [{"$set": {"key": aside}}])

    async def decide(
        self,
        id_: str,
        state: ApprovalState,
        by: str,
        reason: str,
        session: Session | None = None,
    ) -> None:
        """Decide a request that waits; AlreadyDecided for one that was decided or has expired."""
        now = _now()
        waiting = {"_id": id_, "state": "waiting", "expires_at": {"$gt": now}}
        decision = {"state": state, "decided_by": by, "decision_reason": reason, "decided_at": now}
        result = await self._approvals.update_one(waiting, {"$set": decision}, session=session)
        if not result.matched_count:
            raise AlreadyDecided

    async def run_transaction(self, work: Callable[[Session], Awaitable[None]]) -> None:
        """Run `work` in its own transaction, retried on write conflicts; then TryAgain."""
        await self._database.transaction_with_retry(work)

    async def page(self, after: str, limit: int, *, waiting: bool) -> tuple[list[Any], str | None]:
        """Requests, newest first, and the next cursor; raises InvalidCursor.

        `waiting`: only those that can be decided.
        """
        where: Document = {"state": "waiting", "expires_at": {"$gt": _now()}} if waiting else {}
        rows, cursor = await page(self._approvals, where, "made_at", after, limit)
        return [_approval_from(row) for row in rows], cursor


def _now() -> datetime:
    return datetime.now(UTC)


def _approval_from(row: Document) -> Approval:
    has_expired = row["state"] == "waiting" and row["expires_at"] <= _now()
    state = "expired" if has_expired else row["state"]
    return Approval(**{**known_fields(Approval, row), "id": row["_id"], "state": state})
