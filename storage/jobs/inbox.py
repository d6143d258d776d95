"""inbox: callbacks as received, stored raw, then processed once, with their outcome."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from storage.database import Collection, Database, Document
from storage.documents import change_one, given, make_page_indexes, page, starts_with

Outcome = Literal["done", "ignored", "refused"]
RETENTION = timedelta(days=30)
REFUSED_RETENTION = timedelta(days=7)
BRIEF_RETENTION = timedelta(days=1)
"""Of messages that only have to be recognized when they are repeated."""
IM, IM_RETENTION = "im", timedelta(days=7)
"""IM's callbacks say when a user was online."""
RAW_BYTES = 64 * 1024
QUERY_BYTES = 2048
REFUSED_BYTES = 8 * 1024
"""Enough for a genuine message that is refused only because our key is wrong; Tencent's examples
are below 500 bytes."""
REFUSED_SLOTS = 256
"""Slots per source and reason for messages that are not genuine. A new message overwrites an older
one in its slot, so that an attacker cannot fill more than about 20 MB for each source with
forgeries, which are refused for at most eight reasons."""
ID_PREFIXES = (
    *("", "im:", "live:", "jsapi:", "xpay:", "transfer:", "xpay:xpay_goods_deliver_notify:"),
    "xpay:xpay_subscribe_ios_refund_query_notify:",
)
"""Prefixes in a row's `_id` before the part that operators search for; the last two are WeChat's
prefixes of an order number."""


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A callback as received; `id` is equal for redeliveries, `query` has no signature."""

    source: str
    id: str
    query: str
    raw: str

    @property
    def row_id(self) -> str:
        return f"{self.source}:{self.id}"


class CallbackOutcome(NamedTuple):
    """Outcome of a callback; `reason` is empty if it was processed.

    A `lasting` callback concerns one of our orders, or a duty that has no end, and its document is
    never deleted, that of a `brief` one after a day. `event` names an event of WeChat that moves no
    gold, `answer` is its answer.
    """

    outcome: Outcome
    reason: str = ""
    lasting: bool = False
    brief: bool = False
    event: str = ""
    answer: dict[str, Any] | None = None


DONE = CallbackOutcome("done")


def ignored(reason: str) -> CallbackOutcome:
    return CallbackOutcome("ignored", reason)


def refused(reason: str) -> CallbackOutcome:
    return CallbackOutcome("refused", reason)


class InboxStore:
    """Deduplicates callbacks; their effects are carried out at least once.

    A genuine message is received, then done, ignored, or refused for its content. One that is not
    genuine is refused at once. A crash between the effect and `close` leaves the message
    `received`.
    """

    def __init__(self, database: Database) -> None:
        self._inbox: Collection = database.collection("inbox")

    async def make_indexes(self) -> None:
        await self._inbox.create_index("expires_at", expireAfterSeconds=0)
        pushes = {"source": "xpay"}  # in which a deletion looks for an openid
        await self._inbox.create_index("source", partialFilterExpression=pushes)
        await make_page_indexes(self._inbox, "received_at", "outcome")
        await self._inbox.create_index(
            [("event", 1), ("received_at", -1), ("_id", -1)],
            partialFilterExpression={"event": {"$gt": ""}},
        )

    async def process(
        self,
        message: InboxMessage,
        rejection: str,
        handle: Callable[[], Awaitable[CallbackOutcome]],
    ) -> CallbackOutcome | None:
        """Store the message and carry it out; return None if it was done or ignored before.

        Its effect must be idempotent: a redelivery after a crash is carried out again. `rejection`
        is the reason code of a message that is not verified, else "": it is then stored separately
        and refused.
        """
        if rejection:
            await self.refuse(message, rejection)
            return refused(rejection)
        if await self.receive(message) == "received":
            outcome = await handle()
            if await self.close(message, outcome):
                return outcome
        first = await self.stored(message)  # by the delivery that was first
        return refused(first["reason"]) if first.get("outcome") == "refused" else None

    async def receive(self, message: InboxMessage) -> str:
        """Store the message if new; return its outcome, "received" while its effect is pending."""
        now = datetime.now(UTC)
        new = _content(message, RAW_BYTES) | {
            "received_at": now,
            "genuine": True,
            "outcome": "received",
            "reason": "",
            "expires_at": now + (IM_RETENTION if message.source == IM else RETENTION),
        }
        change = {"$setOnInsert": new, "$inc": {"times": 1}}
        row = await change_one(
            self._inbox, {"_id": message.row_id}, change, upsert=True, fields={"outcome": 1}
        )
        return str(row["outcome"]) if row else "received"

    async def stored(self, message: InboxMessage) -> Document:
        """Return the outcome of a received message, its reason, and the answer if there is one."""
        fields = {"outcome": 1, "reason": 1, "answer": 1}
        return await self._inbox.find_one({"_id": message.row_id}, fields) or {}

    async def close(self, message: InboxMessage, outcome: CallbackOutcome) -> bool:
        """Store the outcome; the first of concurrent calls wins, and returns True."""
        closed: Document = {"outcome": outcome.outcome, "reason": outcome.reason}
        if outcome.event:
            closed["event"] = outcome.event
        if outcome.answer:
            closed["answer"] = outcome.answer
        if outcome.lasting:
            closed["expires_at"] = None
        if outcome.brief or (message.source == IM and outcome.outcome == "ignored"):
            closed["expires_at"] = datetime.now(UTC) + BRIEF_RETENTION
        result = await self._inbox.update_one(
            {"_id": message.row_id, "outcome": "received"}, {"$set": closed}
        )
        return bool(result.modified_count)

    async def find(self, name: str) -> Document | None:
        return await self._inbox.find_one({"_id": name})

    async def find_first(self, start: str) -> Document | None:
        return await self._inbox.find_one({"_id": starts_with(start)})

    async def find_since(
        self, source: str, since: datetime, query: str, *, genuine: bool
    ) -> Document | None:
        """Return the latest message of a source with this query."""
        where: Document = {"source": source, "query": query, "genuine": genuine}
        where["received_at"] = {"$gte": since}
        return await self._inbox.find_one(where, sort=[("received_at", -1)])

    async def reopen(self, name: str) -> bool:
        """Reset a message to be carried out again; return False if unknown or not genuine."""
        changed = await self._inbox.update_one(
            {"_id": name, "genuine": True}, {"$set": {"outcome": "received", "reason": ""}}
        )
        return bool(changed.matched_count)

    async def page(
        self,
        source: str,
        outcome: str,
        after: str,
        limit: int,
        *,
        search: str = "",
        event: str = "",
    ) -> tuple[list[Document], str | None]:
        """Return messages for operators, newest first, and the next cursor. Raises InvalidCursor.

        `search` matches the start of `_id`, or of its part after one of ID_PREFIXES.
        """
        where = given(source=source, outcome=outcome, event=event)
        if search:
            where["$or"] = [{"_id": starts_with(prefix + search)} for prefix in ID_PREFIXES]
        return await page(self._inbox, where, "received_at", after, limit)

    async def refuse(self, message: InboxMessage, reason: str) -> None:
        """Store a message that is not genuine, apart from genuine ones: it cannot block one.

        `times` of all rows of a reason is the number of messages refused for it.
        """
        # A slot by hash of the id: redeliveries have the same, and collisions overwrite. Each
        # reason has its own slots, so that a message is counted for the reason of its refusal.
        digest = hashlib.sha256(message.id.encode()).digest()
        number = int.from_bytes(digest[:4]) % REFUSED_SLOTS
        now = datetime.now(UTC)
        latest = _content(message, REFUSED_BYTES) | {
            "received_at": now,
            "genuine": False,
            "outcome": "refused",
            "reason": reason,
            "expires_at": now + REFUSED_RETENTION,
        }
        await self._inbox.update_one(
            {"_id": f"refused:{message.source}:{reason}:{number}"},
            {"$set": latest, "$inc": {"times": 1}},
            upsert=True,
        )


def _content(message: InboxMessage, limit: int) -> Document:
    return {
        "source": message.source,
        "query": _truncate(message.query, QUERY_BYTES),
        "raw": _truncate(message.raw, limit),
    }


def _truncate(text: str, limit: int) -> str:
    return text.encode(errors="replace")[:limit].decode(errors="ignore")
