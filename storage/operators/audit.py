"""audit: operators' changes: who, what, on whom, when, why, and whether completed."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import bson
import structlog
from bson import ObjectId

from storage.database import Collection, Database, Document
from storage.documents import starts_with

ENTRY_BYTES = 4096
"""Maximum size of an entry with its search terms and outcome; longer values are cut."""
OUTCOME_BYTES = 600
"""Bytes of an entry that are reserved for its outcome."""
TERMS_BYTES = 800
MAX_FIELDS = 40
"""Maximum number of fields of a request or state that an entry stores."""
WORD = re.compile(r"\w+(?:[.-]\w+)*")
"""An id, an address, a word; `ops@10.0.0.1` and `POST OneUser` are two each."""
CHINESE = re.compile(r"[\u3400-\u9fff]")
"""Chinese has no spaces between words: a term begins at each of these characters, too."""
TERM_LENGTH = 24
MAX_QUERY_WORDS = 8
MONEY_OUT = "Withdrawal|Refund|Difference|RetryMessage"
"""In the name of each operation on withdrawals, refund cases, bills and reports of money."""
WEBHOOK = "Webhook"
"""In the name of each operation whose request has the address of a webhook, often with a key."""
log = structlog.get_logger("qlive.audit")


class AuditStore:
    """One document for each change, written before the action; completed by its outcome.

    The outcome of an action that has succeeded is added afterwards. Entry and outcome are log
    lines, too, which leave the machine, so that a user of the database cannot change them.
    """

    def __init__(self, database: Database, days: int = 0) -> None:
        """Create the store; an entry is kept for `days`, with 0 for ever."""
        self._audit: Collection = database.collection("audit")
        self._days = days

    async def make_indexes(self) -> None:
        await self._audit.create_index("expires_at", expireAfterSeconds=0)
        await self._audit.create_index([("terms", 1), ("_id", -1)])

    async def begin(
        self,
        who: str,
        what: str,
        on: str,
        reason: str,
        parameters: Mapping[str, Any],
        *,
        role: str = "",
        address: str = "",
    ) -> Document:
        """Store and log the entry of a requested change, and return it for `done`."""
        now = datetime.now(UTC)
        entry: Document = {"_id": ObjectId(), "at": now, "who": who, "role": role}
        entry |= {"address": address, "what": what, "on": on[:100], "reason": reason[:500]}
        entry |= {"done": False, "terms": [], "parameters": ""}
        if self._days:
            entry["expires_at"] = now + timedelta(days=self._days)
        left = ENTRY_BYTES - OUTCOME_BYTES - TERMS_BYTES - len(bson.encode(entry))
        entry["parameters"] = _fitted(parameters, left)
        log.info(
            "audit_entry", entry=str(entry["_id"]), **_texts(entry), parameters=entry["parameters"]
        )
        entry["terms"] = _terms(what, on, f"{who} {address} {role}", entry["parameters"], reason)
        await self._audit.insert_one(entry)
        return entry

    async def done(
        self, entry: Document, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Add the outcome: the fields in which the states before and after the action differ.

        The states are JSON; {} is that of what did not exist.
        """
        left = ENTRY_BYTES - len(bson.encode({**entry, "before": "", "after": ""}))
        old = _fitted(_changed(before, after), left // 2)
        new = _fitted(_changed(after, before), left - len(old.encode()))
        outcome = {"done": True, "before": old, "after": new}
        log.info("audit_outcome", entry=str(entry["_id"]), **_texts(entry), before=old, after=new)
        await self._audit.update_one({"_id": entry["_id"]}, {"$set": outcome})

    async def page(
        self,
        after: str,
        limit: int,
        *,
        search: str = "",
        what: str = "",
        hidden: Sequence[str] = (),
    ) -> tuple[list[Document], str | None]:
        """Return entries, newest first, and the next cursor, None at the end.

        `search` finds entries with all its words, each the start of one of the entry's terms;
        `what` those of one action; those of actions that match a pattern in `hidden` are left out.
        """
        where: list[Document] = [{"what": what}] if what else []
        if ObjectId.is_valid(after):
            where.append({"_id": {"$lt": ObjectId(after)}})
        if hidden:
            where.append({"what": {"$not": {"$regex": "|".join(hidden)}}})
        # The action's words narrow the index scan.
        words = WORD.findall(f"{search} {what}".casefold())[:MAX_QUERY_WORDS]
        if search and not words:
            return [], None
        # By $elemMatch one term satisfies both ends of the range, which bounds the scan.
        starts = (starts_with(word[:TERM_LENGTH]) for word in words)
        where += [{"terms": {"$elemMatch": start}} for start in starts]
        found = self._audit.find({"$and": where} if where else {}, {"terms": 0})
        rows = [_entry(row) for row in await found.sort("_id", -1).limit(limit).to_list()]
        return rows, rows[-1]["id"] if len(rows) == limit else None


def _entry(row: Document) -> Document:
    names = ("at", "who", "role", "address", "what", "on", "reason", "done")
    states = {name: json.loads(row.get(name, "{}")) for name in ("parameters", "before", "after")}
    return {"id": str(row["_id"]), **{name: row.get(name, "") for name in names}, **states}


def _texts(entry: Document) -> dict[str, str]:
    return {name: entry[name] for name in ("who", "role", "address", "what", "on", "reason")}


def _changed(state: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a state that are missing, or different, in the other.

    1 differs from true.
    """
    return {
        name: value
        for name, value in state.items()
        if name not in other or _json(other[name]) != _json(value)
    }


def _fitted(fields: Mapping[str, Any], limit: int) -> str:
    """Encode the fields in at most `limit` bytes of JSON: cut the longest value until it fits."""
    fitted = dict(islice(fields.items(), MAX_FIELDS))
    while len((text := _json(fitted)).encode()) > limit:
        name = max(fitted, key=lambda name: len(_json({name: fitted[name]})))
        value = fitted[name] if isinstance(fitted[name], str) else _json(fitted[name])
        if len(value) > 16:
            fitted[name] = value[: len(value) // 2 - 1] + "…"
        else:
            del fitted[name]
    return text


def _json(value: Any) -> str:
    """Encode as text: BSON cannot represent every JSON value, and JSON no time."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _terms(*texts: str) -> list[str]:
    """Return the search terms of an entry: its ids first; the reason, which may be long, last."""
    terms, size = dict[str, None](), 0
    for word in (word for text in texts for word in WORD.findall(text.casefold())):
        for start in (0, *(found.start() for found in CHINESE.finditer(word))):
            term = word[start : start + TERM_LENGTH]
            if term in terms:
                continue
            size += len(term.encode()) + len(b"\x02999\0....\0")  # as BSON has it in an array
            if size > TERMS_BYTES:
                return [*terms]
            terms[term] = None
    return [*terms]
