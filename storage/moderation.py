"""Collections of moderation.

user_blocks: one document per user and user whom they have blocked. moderation_items: what is
checked, reported or decided; one document each.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Mapping, Sequence
from collections.abc import Collection as Group
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import not_
from typing import Literal, cast

from core.cache import Cache
from core.errors import TryAgain, WriteConflict
from people.user_events import Checked, CheckedContent
from rooms.events import NewEvent
from rooms.moderation import CHECK, FIELDS, OPEN_STATES, Item
from storage.database import Collection, Database, Document, Session
from storage.documents import documents_by_id, is_over, make_partial_index
from storage.errors import AlreadyDecided, TooManyBlocks
from storage.identities import IdentityStore
from storage.jobs.outbox import DELETE_OBJECT, OutboxStore
from storage.user_channels import UserChannelStore
from storage.versioned import ClaimedStore
from storage.webhooks.payloads import ModerationDecidedPayload, ReportFiledPayload
from storage.webhooks.webhooks import WebhookStore

MAX_BLOCKS = 500
"""Users whom one user may block, about 60 KB."""
FREE_SECONDS, MAX_FREE = 0.5, 10_000
"""For so long a pair without a block is remembered: without that, a gift takes 8 % more CPU."""
SHOWN_IN: Mapping[str, tuple[str, str]] = {
    "nickname": ("users", "nickname"),
    "face": ("users", "face_url"),
    "room_name": ("rooms", "title"),
    "cover": ("rooms", "cover"),
}
"""Where others see a value: collection and field."""


class UserBlockStore:
    """Blocks between users. `has_blocks` of both is set from the first one on."""

    def __init__(self, database: Database) -> None:
        self._blocks: Collection = database.collection("user_blocks")
        self._users: Collection = database.collection("users")
        self._apart: Cache[tuple[str, str], bool] = Cache(FREE_SECONDS, MAX_FREE, keeps=not_)
        self._by_id = documents_by_id(self._blocks, lambda row: str(row["_id"]))

    async def make_indexes(self) -> None:
        await self._blocks.create_index([("by", 1), ("at", -1)])

    async def put(self, by: str, of: str) -> None:
        """Block a user. Raises TooManyBlocks. A flag that no block follows does no harm."""
        await self._users.update_many({"_id": {"$in": [by, of]}}, {"$set": {"has_blocks": True}})
        row, id_ = {"by": by, "of": of, "at": datetime.now(UTC)}, {"_id": _id(by, of)}
        written = await self._blocks.update_one(id_, {"$setOnInsert": row}, upsert=True)
        self._apart.clear()
        if written.upserted_id and await is_over(self._blocks, {"by": by}, MAX_BLOCKS):
            await self._blocks.delete_one(id_)
            raise TooManyBlocks

    async def drop(self, by: str, of: str) -> None:
        await self._blocks.delete_one({"_id": _id(by, of)})

    async def blocked_by(self, user_id: str) -> list[str]:
        """Return the users whom a user has blocked, newest first."""
        rows = await self._blocks.find({"by": user_id}).sort("at", -1).to_list()
        return [row["of"] for row in rows]

    async def among(self, user_id: str, others: Group[str]) -> set[str]:
        """Return the others whom the user has blocked, or who have blocked the user."""
        pairs = {other: {_id(user_id, other), _id(other, user_id)} for other in others}
        found = {*await self._by_id.get_many([id_ for ids in pairs.values() for id_ in ids])}
        return {other for other, ids in pairs.items() if ids & found}

    async def are_apart(self, user_id: str, other_id: str) -> bool:
        """Return whether one has blocked the other; changes elsewhere show after FREE_SECONDS."""

        async def read() -> bool:
            return bool(await self.among(user_id, [other_id]))

        return await self._apart.load((user_id, other_id), read)


def _id(by: str, of: str) -> str:
    return f"{by}:{of}"


class ModerationStore(ClaimedStore[Item]):
    """Items of the queue. Decided ones expire."""

    name, kind, newest_by = "moderation_items", Item, "created_at"

    def __init__(
        self,
        database: Database,
        outbox: OutboxStore,
        channels: UserChannelStore,
        webhooks: WebhookStore,
        days: int,
    ) -> None:
        """Create the store; a decided item is kept for `days`, with 0 for ever."""
        super().__init__(database, channels, webhooks)
        self._identities = IdentityStore(database)
        self._outbox = outbox
        self._days = days
        self._by_key = database.joint_reads.by_id(self.name, self.parse, "open_key")

    async def make_indexes(self) -> None:
        await super().make_indexes()
        await self._documents.create_index("open_key", unique=True, sparse=True)
        await make_partial_index(self._documents, "trace_id", "")
        await make_partial_index(self._documents, "evidence.reporter", "")
        await self._documents.create_index("expires_at", expireAfterSeconds=0)

    async def add(self, value: Item, session: Session | None = None) -> None:
        """Add an item, unless its id says what it is about and it was added before."""
        new, outgoing = {"$setOnInsert": self._document(value)}, self._webhook_events(None, value)

        async def write(session: Session | None) -> None:
            result = await self._documents.update_one(
                {"_id": value.id}, new, upsert=True, session=session
            )
            if result.did_upsert:
                await self._webhooks.add(session, *outgoing)

        if session is None and await self._webhooks.wants(outgoing):
            await self._database.transaction_with_retry(write)
        else:
            await write(session)

    async def put(self, item: Item, session: Session | None = None) -> None:
        """Store a proposal in place of the user's open one, in one transaction.

        This happens before its value is shown, or in the transaction that shows it. Its `before` is
        that of the open one, or else what others see in the transaction. An item without an id is
        not stored: if its value needs no check (`approved`), the user's open one is superseded;
        otherwise the open one checks the same value, and nothing changes. Raises TryAgain if a
        value needs no check because it was shown before, and another one is shown by now.
        """

        async def work(session: Session) -> None:
            older = await self._find_one({"open_key": f"{item.kind}:{item.user_id}"}, session)
            before = older.before if older else await self.shown(item.kind, item.user_id, session)
            if item.id and before == item.value:
                before = ""  # if it is refused now, it must not be shown again
            if not item.id and item.before not in ("", before):
                raise TryAgain
            if older:
                await self.save(older, older.supersede(datetime.now(UTC)), session)
            if item.id:
                await self.add(replace(item, before=before), session)

        if item.id or not item.is_open:
            await (work(session) if session else self._database.transaction_with_retry(work))

    async def save_step(self, before: Item, after: Item, session: Session | None = None) -> Item:
        """Save as `save` does. Raises AlreadyDecided, since to repeat it would not help."""
        try:
            return await self.save(before, after, session)
        except WriteConflict:
            raise AlreadyDecided from None

    async def refuse_picture(self, before: Item, after: Item) -> Item:
        """Save as `save_step` does, and queue the deletion of the refused picture, atomically."""

        async def work(session: Session) -> Item:
            payload = {"key": after.value, "refused": True}
            await self._outbox.add_later(DELETE_OBJECT, payload, timedelta(), session)
            return await self.save_step(before, after, session)

        return await self._database.transaction_with_retry(work)

    async def shown(self, kind: str, user_id: str, session: Session | None = None) -> str:
        """Return the value that others see at present."""
        collection, name = SHOWN_IN[kind]
        id_ = user_id if collection == "users" else await self._identities.find("host", user_id)
        row = await self._database.collection(collection).find_one(
            {"_id": id_}, {name: 1}, session=session
        )
        return row[name] if row else ""

    async def by_trace(self, trace_id: str) -> Item | None:
        """Return the item whose check has this number."""
        return await self._find_one({"trace_id": trace_id})

    def open_of(self, user_id: str) -> Awaitable[dict[str, Item]]:
        """Return the user's proposals that are not decided yet, by kind."""
        return self._by_key.read([f"{kind}:{user_id}" for kind in FIELDS], _open_by_kind)

    def in_review(self, user_id: str) -> Awaitable[dict[str, str]]:
        """Return what the user has proposed and others may not see yet, by parameter."""
        return self._by_key.read([f"{kind}:{user_id}" for kind in FIELDS], _values_by_parameter)

    async def last_of(self, kind: str, user_id: str, value: str) -> Item | None:
        """Return the newest item of a user about this value."""
        where = {"user_id": user_id, "kind": kind, "value": value}
        return await self._find_one(where, sort=[("created_at", -1)])

    async def last_stop(self, user_id: str, session: Session) -> datetime | None:
        """Return when a stream of the user was last stopped and not approved by an operator."""
        stopped = [{"state": "review", "shown": False}, {"state": "refused"}]
        where = {"user_id": user_id, "kind": "stream", "$or": stopped}
        rows = await self._documents.find(where, session=session).to_list()
        stops = (row["decided_at" if row["shown"] else "created_at"] for row in rows)
        return max(stops, default=None)

    async def open_counts(self) -> tuple[Mapping[str, int], Mapping[str, datetime]]:
        """Return the open items by kind, and since when the oldest of each kind is."""
        is_open: Document = {"$match": {"state": {"$in": [*OPEN_STATES]}}}
        by_kind: Document = {"_id": "$kind", "n": {"$sum": 1}, "oldest": {"$min": "$created_at"}}
        rows = await (await self._documents.aggregate([is_open, {"$group": by_kind}])).to_list()
        counts = {row["_id"]: row["n"] for row in rows}
        return counts, {row["_id"]: row["oldest"] for row in rows}

    def _document(self, value: Item) -> Document:
        row, is_open = super()._document(value), value.is_open or value.must_apply
        if value.kind in FIELDS and is_open:
            row["open_key"] = f"{value.kind}:{value.user_id}"
        if self._days and not is_open:
            row["expires_at"] = datetime.now(UTC) + timedelta(days=self._days)
        return row

    def _user_events(self, before: Item, after: Item) -> list[NewEvent]:
        outcome = after.outcome
        # An undone refusal shows nothing: the owner may have chosen another value.
        if outcome is None or before.outcome is not None or after.kind not in FIELDS:
            return []
        checked = Checked(what=cast(CheckedContent, after.kind), outcome=outcome)
        return [NewEvent("checked", checked)]

    def _webhook_events(self, before: Item | None, after: Item) -> list[NewEvent]:
        if before is None and after.kind == "report":
            filed = ReportFiledPayload(
                item_id=after.id,
                user_id=after.user_id,
                live_id=after.live_id,
                reason=after.label,
            )
            return [NewEvent("report.filed", filed)]
        if after.state not in ("approved", "refused") or (before and before.state == after.state):
            return []
        by: Literal["check", "operator"] = "check" if after.decided_by == CHECK else "operator"
        decided = ModerationDecidedPayload(
            item_id=after.id,
            kind=after.kind,
            user_id=after.user_id,
            outcome=after.state,
            by=by,
        )
        return [NewEvent("moderation.decided", decided)]

    def _due_at(self, value: Item) -> datetime | None:
        return value.due_at


def _open_by_kind(items: Sequence[Item | None]) -> dict[str, Item]:
    return {item.kind: item for item in items if item and item.is_open}


def _values_by_parameter(items: Sequence[Item | None]) -> dict[str, str]:
    return {FIELDS[item.kind]: item.value for item in items if item and item.is_open}


def new_item_id() -> str:
    return secrets.token_hex(12)


def item_id_of(*subject: object) -> str:
    """Return the id of an item of which there is one for a subject."""
    return hashlib.sha256(":".join(map(str, subject)).encode()).hexdigest()[:24]
