"""exports: copies of everything about a user, made at their request and kept for two days.

One document has the times of request and completion, others the encrypted parts.
"""

import asyncio
import json
import zlib
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from ledger.journal import debt_account, user_account
from storage.database import Collection, Database, Document
from storage.documents import make_partial_index, starts_with, stream
from storage.field_cipher import FieldCipher
from storage.jobs.due import BEFORE_ANY, claim_due

EVERY = timedelta(days=1)
"""Minimum time between two copies."""
KEPT = timedelta(days=2)
PART_ROWS = 1_000
"""Rows of a part: some 200 KB of JSON, which a phone can read at once."""
INTERNAL = ("_id", "session_key", "withdrawals_stopped", "has_blocks", "risk_rank")
"""Fields of a user that a copy leaves out: a secret, and what came from others or from WeChat."""


class Export(NamedTuple):
    """`made_at` is None while the copy is being made."""

    made_at: datetime | None
    parts: int


class ExportStore:
    """Copies, made outside of requests, and in parts to bound their memory."""

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._database = database
        self._exports: Collection = database.collection("exports")
        self._cipher = cipher

    async def make_indexes(self) -> None:
        await self._exports.create_index("user_id")
        await self._exports.create_index("expires_at", expireAfterSeconds=0)
        await make_partial_index(self._exports, "due_at", BEFORE_ANY)

    async def ask(self, user_id: str) -> Export:
        """Return the copy of the last day, or a new one that is due to be made."""
        now = datetime.now(UTC)
        new: Document = {"user_id": user_id, "made_at": None, "parts": 0}
        new |= {"asked_at": now, "due_at": now, "expires_at": now + KEPT}
        old = {"_id": user_id, "asked_at": {"$lte": now - EVERY}}
        with suppress(DuplicateKeyError):  # one of the last day
            await self._exports.update_one(old, {"$set": new}, upsert=True)
        row = await self._exports.find_one({"_id": user_id}) or new
        return Export(row["made_at"], row["parts"])

    async def part(self, user_id: str, number: int) -> dict[str, list[Any]]:
        """Return rows by section, which may go on in the next part; {} if there is no such part."""
        row = await self._exports.find_one({"_id": f"{user_id}:{number}"})
        packed = row and self._cipher.decrypt(row["data"], user_id)
        return json.loads(zlib.decompress(packed.encode("latin-1"))) if packed else {}

    async def claim(self, lease: timedelta) -> str | None:
        """Claim and return the user whose copy is to be made."""
        row = await claim_due(self._exports, lease)
        return row["_id"] if row else None

    async def make(self, user_id: str) -> None:
        """Make the copy, from the beginning each time."""
        rows: defaultdict[str, list[Document]] = defaultdict(list)
        parts = 0
        with self._database.slow_operation_timeout():
            for section, (collection, steps) in _sections(user_id).items():
                rows[section] = []
                async for row in stream(self._database.collection(collection), steps):
                    rows[section].append(row)
                    if sum(map(len, rows.values())) >= PART_ROWS:
                        parts += 1
                        await self._store(user_id, parts, rows)
                        rows.clear()
            await self._store(user_id, parts + 1, rows)
        made = {"made_at": datetime.now(UTC), "parts": parts + 1, "due_at": None}
        stored = await self._exports.update_one({"_id": user_id}, {"$set": made})
        if not stored.matched_count:  # the user was deleted meanwhile
            await self._exports.delete_many({"user_id": user_id})

    async def _store(self, user_id: str, number: int, rows: dict[str, list[Document]]) -> None:
        def text(value: Any) -> str | None:
            """Return a time, or the real name, which is stored encrypted."""
            if isinstance(value, bytes):
                return self._cipher.decrypt(value, user_id)
            return str(value.isoformat())

        def packed() -> bytes:
            content = json.dumps(rows, ensure_ascii=False, default=text).encode()
            return self._cipher.encrypt(zlib.compress(content).decode("latin-1"), user_id)

        data, expires_at = await asyncio.to_thread(packed), datetime.now(UTC) + KEPT
        part = {"user_id": user_id, "data": data, "expires_at": expires_at}
        await self._exports.replace_one({"_id": f"{user_id}:{number}"}, part, upsert=True)


def _sections(user_id: str) -> dict[str, tuple[str, list[Document]]]:
    """Return collection and pipeline of each section. Of other users, only the numbers are read."""
    own = [user_account(user_id), debt_account(user_id)]
    is_own: Document = {"$in": ["$$this.account", own]}
    journal = {
        "amounts": {"$filter": {"input": "$lines", "cond": is_own}},
        "with": {"$setDifference": ["$lines.account", own]},
    }

    def read(where: Document, *names: str, **more: Any) -> list[Document]:
        return [{"$match": where}, {"$project": {"_id": 0, **dict.fromkeys(names, 1), **more}}]

    def of_pairs(since: str, *names: str) -> list[Document]:
        other = {"$first": {"$setDifference": ["$users", [user_id]]}}
        where: Document = {"users": user_id, since: {"$gt": 0}}
        return read(where, *names, user_id=other, at={"$toDate": f"${since}"})

    mine: Document = {"user_id": user_id}
    profile = [{"$match": {"_id": user_id}}, {"$set": {"user_id": "$_id"}}]
    proposals = {**mine, "kind": {"$nin": ["report", "stream"]}}
    reports = {"kind": "report", "evidence.reporter": user_id}
    of_templates = {"_id": starts_with(f"{user_id}:")}
    about = {"user_id": "$user_id", "reason": "$label", "text": "$evidence.text"}
    prices = ("provider", "platform", "gold", "fen", "state", "created_at", "paid_at", "refunded")
    payout = ("income", "fen", "rate", "state", "requested_at", "finished_at", "fail_reason")
    return {
        "profile": ("users", [*profile, {"$unset": [*INTERNAL]}]),
        "sessions": ("tokens", read(mine, "made_at", "used_at", "expires_at")),
        "orders": ("orders", read(mine, *prices, number="$_id")),
        "journal": ("ledger", read({"lines.account": {"$in": own}}, "at", "kind", **journal)),
        "withdrawals": ("withdrawals", read(mine, *payout, number="$_id")),
        "refunds": (
            "refund_cases",
            read(mine, "state", "opened_at", "closed_at", "orders.number", "orders.fen"),
        ),
        "likes": ("matches", of_pairs(f"likes.{user_id}")),
        "matches": ("matches", of_pairs("matched_at", "live_id", "ended")),
        "follows": ("follows", read({"by": user_id}, "at", user_id="$of")),
        "blocks": ("user_blocks", read({"by": user_id}, "at", user_id="$of")),
        "reports": ("moderation_items", read(reports, "live_id", "created_at", **about)),
        "proposals": (
            "moderation_items",
            read(proposals, "kind", "value", "state", "created_at", "decided_at"),
        ),
        "chat_lines": ("chat_lines", read(mine, "text", "at", live_id="$room")),
        "room": (
            "rooms",
            read({"host_id": user_id}, "title", "cover", "status", "started_at", live_id="$_id"),
        ),
        "notices": ("notice_consents", read(of_templates, "count", "refused_at", "hosts")),
        "deputy_of": ("rooms", read({"deputies": user_id}, live_id="$_id")),
        "lives": ("lives", [{"$match": {"host_id": user_id}}, {"$unset": ["_id", "host_id"]}]),
    }
