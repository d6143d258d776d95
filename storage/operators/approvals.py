"""approvals: what waits for a second operator: large movements of gold, rates, recharge blocks."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from ledger.journal import Unit
from storage.database import Document, Session
from storage.errors import AlreadyDecided, ApprovalNotFound
from storage.versioned import DocumentStore

ApprovalKind = Literal["grant", "settle", "reverse", "config", "block"]
ApprovalState = Literal["waiting", "done", "declined", "expired"]
LIFETIME = timedelta(days=1)
"""How long a request waits."""
KEPT = timedelta(days=90)
"""How long a request is kept after it was made; what was carried out is in the journal."""


def _now() -> datetime:
    return datetime.now(UTC)


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
    made_at: datetime = field(default_factory=_now)
    expires_at: datetime = field(default_factory=lambda: _now() + LIFETIME)
    state: ApprovalState = "waiting"
    id: str = field(default_factory=lambda: str(ObjectId()))
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


class ApprovalStore(DocumentStore[Approval]):
    """One document per request; a decision is one guarded update."""

    name, kind, newest_by = "approvals", Approval, "made_at"
    list_filters = ("state",)
    missing = ApprovalNotFound

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await self._documents.create_index("key", unique=True)
        await self._documents.create_index("delete_at", expireAfterSeconds=0)

    async def request(self, approval: Approval) -> Approval:
        """Store the request; if its key has one already, return that instead."""
        try:
            await self.add(approval)
        except DuplicateKeyError:
            if existing := await self.find_key(approval.key):
                return existing
            raise
        return await self.get(approval.id)

    async def find_key(self, key: str) -> Approval | None:
        return await self._find_one({"key": key})

    async def summary(self, id_: str) -> Document:
        """Return the fields of a request for the audit log; {} if it does not exist."""
        row = await self._documents.find_one({"_id": id_})
        if row is None:
            return {}
        names, arguments = ("state", "kind", "on", "gold", "by", "key"), row["arguments"]
        rows = {name: arguments[name] for name in ("before", "after") if name in arguments}
        return {name: row[name] for name in names} | rows

    async def set_aside(self, key: str) -> None:
        """Free the key of a request that was declined or has expired; the request stays listed."""
        past = [{"state": "declined"}, {"state": "waiting", "expires_at": {"$lte": _now()}}]
        aside = {"$concat": ["$key", "#", "$_id"]}
        await self._documents.update_one({"key": key, "$or": past}, [{"$set": {"key": aside}}])

    async def decide(
        self,
        id_: str,
        state: ApprovalState,
        by: str,
        reason: str,
        session: Session | None = None,
    ) -> None:
        """Decide a request that waits. Raises AlreadyDecided if it was decided or has expired."""
        now = _now()
        waiting = {"_id": id_, "state": "waiting", "expires_at": {"$gt": now}}
        decision = {"state": state, "decided_by": by, "decision_reason": reason, "decided_at": now}
        result = await self._documents.update_one(waiting, {"$set": decision}, session=session)
        if not result.matched_count:
            raise AlreadyDecided

    async def waiting(self, after: str, limit: int) -> tuple[list[Approval], str | None]:
        """Return a page, as `page` does, of requests that can be decided."""
        return await self.page(after, limit, state="waiting", expires_at={"$gt": _now()})

    @classmethod
    def parse(cls, row: Document) -> Approval:
        has_expired = row["state"] == "waiting" and row["expires_at"] <= _now()
        return super().parse({**row, "state": "expired" if has_expired else row["state"]})

    def _document(self, value: Approval) -> Document:
        return super()._document(value) | {"delete_at": value.made_at + KEPT}
