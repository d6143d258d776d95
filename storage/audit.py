"""audit: operators' changes: who, what, on whom, when, why, and whether completed."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from storage.audit_chain import UNCHAINED, AuditChain
from storage.audit_terms import entry_terms, query_words
from storage.database import Collection, Database, Document
from storage.deletion import delete_some
from storage.pagination import starts_with


class AuditStore:
    """Two rows for each change, neither of which is ever updated: the chain covers their content.

    The entry is appended before the action; its outcome, with the entry's `_id` in `of`, after an
    action that has succeeded. Entries of earlier versions have no outcome, but `done`.
    `read` marks the entries of reads, which were written until they were counted instead.
    """

    def __init__(self, database: Database) -> None:
        self._audit: Collection = database.collection("audit")
        self._chain = AuditChain(database)

    async def make_indexes(self) -> None:
        await self._audit.create_index([("read", 1), ("_id", -1)])
        await self._audit.create_index([("terms", 1), ("_id", -1)])
        await self._audit.create_index("of", sparse=True)
        await self._chain.make_indexes()

    async def begin(
        self,
        who: str,
        what: str,
        on: str,
        reason: str,
        asked: Any,
        *,
        role: str = "",
        address: str = "",
    ) -> Document:
        """Append the entry of a requested change, and return it for `done`. Raises TryAgain."""
        row: Document = {"who": who, "role": role, "address": address, "what": what, "on": on}
        row |= {"reason": reason, "asked": _json(asked), "done": False}
        row["terms"] = entry_terms(what, on, f"{who} {address} {role}", reason, asked)
        return await self._chain.append({"_id": ObjectId(), "at": datetime.now(UTC), **row})

    async def done(
        self, entry: Document, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Append the outcome: the fields in which the states before and after the action differ.

        The states are JSON; {} is that of what did not exist. Raises TryAgain.
        """
        row: Document = {name: entry[name] for name in ("who", "role", "address", "what", "on")}
        # A worker of an earlier version shows it as an entry, which has these fields.
        row |= {"reason": "", "asked": "{}", "terms": [], "done": True, "of": entry["_id"]}
        row |= {"before": _json(_changed(before, after)), "after": _json(_changed(after, before))}
        await self._chain.append({"_id": ObjectId(), "at": datetime.now(UTC), **row})

    async def page(
        self,
        before: str | None,
        limit: int,
        *,
        search: str = "",
        what: str = "",
        changes: bool = False,
    ) -> list[Document]:
        """Entries older than the entry `before`, newest first, each with its outcome.

        `search` finds entries with all its words, each the start of one of the entry's terms;
        `what` those of one action; `changes` leaves out the entries of reads.
        """
        where: Document = {"of": None}
        if before and ObjectId.is_valid(before):
            where["_id"] = {"$lt": ObjectId(before)}
        if changes:
            where["read"] = None
        if what:
            where["what"] = what
        words = query_words(f"{search} {what}")  # the action's words narrow the index scan
        if search and not words:
            return []
        if words:
            where["$and"] = [_has_term(word) for word in words]
        found = self._audit.find(where, {"terms": 0}).sort("_id", -1)
        rows = await found.limit(limit).to_list()
        outcomes = await self._outcomes([row["_id"] for row in rows])
        return [_entry(row, outcomes.get(row["_id"], {})) for row in rows]

    async def delete_before(self, at: datetime, limit: int) -> int:
        """Delete at most `limit` rows made before `at` (the time in their `_id`).

        Those of the chain from its start, so that the rest remains a chain. Returns their number.
        """
        first = ObjectId.from_datetime(at)
        count = await delete_some(self._audit, {**UNCHAINED, "_id": {"$lt": first}}, limit)
        if count < limit:
            count += await self._chain.delete_oldest(first, limit - count)
        return count

    async def add_missing_terms(self, limit: int) -> int:
        """Add the terms to at most `limit` entries of earlier versions, the newest first."""
        rows = await self._audit.find({"terms": None}).sort("_id", -1).to_list(limit)
        updates = [UpdateOne({"_id": row["_id"]}, {"$set": {"terms": _terms(row)}}) for row in rows]
        if updates:
            await self._audit.bulk_write(updates, ordered=False)
        return len(updates)

    async def _outcomes(self, entries: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        """Outcomes by the `_id` of their entry."""
        if not entries:
            return {}
        rows = await self._audit.find({"of": {"$in": entries}}).to_list()
        return {row["of"]: row for row in rows}


def _entry(row: Document, outcome: Document) -> Document:
    """An entry for operators; what earlier versions did not store is empty."""
    return {
        "id": str(row["_id"]),
        "seq": row.get("seq", 0),
        "at": row["at"],
        "who": row["who"],
        "role": row.get("role", ""),
        "address": row.get("address", ""),
        "what": row["what"],
        "on": row["on"],
        "reason": row["reason"],
        "asked": json.loads(row["asked"]),
        "before": json.loads(outcome.get("before", "{}")),
        "after": json.loads(outcome.get("after", "{}")),
        "done": bool(outcome) or row["done"],
        "hash": row.get("hash", ""),
    }


def _changed(state: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a state that are missing, or different, in the other: 1 differs from true."""
    return {
        name: value
        for name, value in state.items()
        if name not in other or _json(other[name]) != _json(value)
    }


def _json(value: Any) -> str:
    """As text: BSON cannot represent every JSON value."""
    return json.dumps(value, ensure_ascii=False)


def _has_term(start: str) -> Document:
    """`$elemMatch`: the same term satisfies both ends of the range, which bounds the index scan."""
    return {"terms": {"$elemMatch": starts_with(start)}}


def _terms(row: Document) -> list[str]:
    return entry_terms(row["what"], row["on"], row["who"], row["reason"], json.loads(row["asked"]))
